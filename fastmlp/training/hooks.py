"""How a training calls its callbacks: which hooks there are, and with how many arguments each method takes them."""

import inspect
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from fastmlp._callback import Callback
from fastmlp._validation import arity
from fastmlp.checkpoints import Checkpoint
from fastmlp.core import Core

HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
# Hooks of Keras for what happens within a chunk of steps, or within an evaluation.
_ELSEWHERE = {
    "on_batch_begin": "use on_train_batch_begin.",
    "on_batch_end": "use on_train_batch_end.",
    "on_test_batch_begin": "an evaluation is one piece: use on_test_begin.",
    "on_test_batch_end": "an evaluation is one piece: use on_test_end.",
}


class Hooks:
    """The hooks of some callbacks, each with as many arguments as it takes.

    Attributes
    ----------
    by_batch, between_steps : bool
        Whether one of them is to be called for every batch; and whether one wants logs before the end of an epoch.

    Raises
    ------
    TypeError
        Where a method is named on_... but no hook, wants more arguments than a hook gets, or has their names in another
        order.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            for name in dir(callback):
                if not name.startswith("on_") or name in HOOKS or not callable(getattr(callback, name)):
                    continue
                if name.startswith("on_predict_"):  # Keras's fit does not call it either
                    continue
                import difflib

                remedy = _ELSEWHERE.get(name) or f"did you mean {difflib.get_close_matches(name, HOOKS, 1, 0.0)[0]}?"
                raise TypeError(
                    f"{type(callback).__name__}.{name} is no hook and would never be called; {remedy} There are "
                    f"{', '.join(HOOKS)}"
                )
        self.callbacks = list(callbacks)
        self._by_name = {
            name: [(method, _arity(method, name)) for method in _defined(callbacks, name)] for name in HOOKS
        }
        self.by_batch = any(self._by_name[name] for name in ("on_train_batch_begin", "on_train_batch_end"))
        self.between_steps = any(self._by_name[name] for name in ("on_train_batch_end", "on_steps_end"))

    def check(self) -> None:
        """Let every callback say whether this training can have what it needs."""
        for callback in self.callbacks:
            callback.check(self.callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """One hook of every callback."""
        for method, n_arguments in self._by_name[hook]:
            method(*arguments[:n_arguments])
            if hook == "on_epoch_end":
                _make_floats(arguments[1], method)

    def end(self, logs: dict[str, Any]) -> None:
        """`on_train_end` of every callback, also behind one that raises: files are closed, weights restored. The first
        error is raised then."""
        first: BaseException | None = None
        for method, n_arguments in self._by_name["on_train_end"]:
            try:
                method(*(logs,)[:n_arguments])
            except BaseException as error:
                first = first or error
        if first is not None:
            raise first

    def keep(self, core: Core, epoch: int, finished: bool = False) -> None:
        """Let every `Checkpoint` write, so many epochs being done and in the history."""
        for callback in self.callbacks:
            if isinstance(callback, Checkpoint) and (finished or callback.is_due(epoch)):
                core.callback_states = epoch, [(type(each).__name__, each.get_state()) for each in self.callbacks]
                callback.write(epoch)

    def have_ended(self, core: Core, epoch: int) -> bool:
        """Whether the same callbacks ended the training, after so many epochs, at a checkpoint."""
        states = core.callback_states
        if states is None or states[0] != epoch or core.history.stopped in ("", "epochs done", "interrupted"):
            return False
        return [kind for kind, _ in states[1]] == [type(each).__name__ for each in self.callbacks]

    def restore(self, states: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Give each callback the state of the one of its type, in their order."""
        left = list(states)
        for callback in self.callbacks:
            found = next((state for state in left if state[0] == type(callback).__name__), None)
            if found is not None:
                left.remove(found)
                callback.set_state(found[1])


def _defined(callbacks: Sequence[Callback], hook: str) -> list[Callable[..., Any]]:
    """The methods of those callbacks that have one of their own; the base's do nothing."""
    found = [getattr(callback, hook) for callback in callbacks]
    return [method for method in found if getattr(method, "__func__", None) is not getattr(Callback, hook)]


def _make_floats(logs: dict[str, Any], method: Callable[..., Any]) -> None:
    """Make floats of what a method left in the logs; what is no number is taken out, and a TypeError names it."""
    for name, value in list(logs.items()):
        if type(value) is float and type(name) is str:
            continue
        if not isinstance(name, str) or not isinstance(value, numbers.Real):
            del logs[name]
            whose = f"({getattr(method, '__qualname__', method)})"
            if not isinstance(name, str):
                raise TypeError(f"the names in logs must be strings, not {name!r} {whose}")
            given = f"an array of shape {value.shape}" if getattr(value, "shape", ()) else repr(value)
            raise TypeError(f"logs[{name!r}] must be a number, not {given} {whose}")
        logs[name] = float(value)


def _arity(method: Callable[..., Any], hook: str) -> int:
    """How many of a hook's arguments a method takes."""
    return arity(method, [*inspect.signature(getattr(Callback, hook)).parameters][1:], f"a hook {hook}")
