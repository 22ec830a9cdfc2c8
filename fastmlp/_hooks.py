"""How a training calls its callbacks: which hooks there are, and with how many arguments each method takes them."""

import inspect
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from fastmlp.callbacks import Callback, Checkpoint

HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Hooks:
    """The hooks of some callbacks, each with as many arguments as it takes.

    Raises
    ------
    TypeError
        Where a method is named on_... but no hook, or wants more arguments than a hook gets.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            for name in dir(callback):
                if name.startswith("on_") and name not in HOOKS and callable(getattr(callback, name)):
                    import difflib

                    nearest = difflib.get_close_matches(name, HOOKS, 1, 0.0)[0]
                    raise TypeError(
                        f"{type(callback).__name__}.{name} is no hook and would never be called; did you mean "
                        f"{nearest}? There are {', '.join(HOOKS)}"
                    )
        self.callbacks = list(callbacks)
        self._by_name = {
            name: [(method, _arity(method, name)) for method in (getattr(callback, name) for callback in callbacks)]
            for name in HOOKS
        }

    def call(self, hook: str, *arguments: Any) -> None:
        """One hook of every callback."""
        for method, arity in self._by_name[hook]:
            method(*arguments[:arity])
            if hook == "on_epoch_end":
                _make_floats(arguments[1], method)

    def keep(self, epoch: int, finished: bool = False) -> None:
        """Let every `Checkpoint` write, so many epochs being done and in the history."""
        for callback in self.callbacks:
            if isinstance(callback, Checkpoint) and (finished or callback.is_due(epoch)):
                callback.model._kept = epoch, [(type(each).__name__, each.get_state()) for each in self.callbacks]
                callback.write(epoch)

    def restore(self, states: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Give each callback the state of the one of its type, in their order."""
        left = list(states)
        for callback in self.callbacks:
            found = next((state for state in left if state[0] == type(callback).__name__), None)
            if found is not None:
                left.remove(found)
                callback.set_state(found[1])


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
    given = len(inspect.signature(getattr(Callback, hook)).parameters) - 1
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return given
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return given
    taken = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if sum(p.default is p.empty for p in taken) > given:
        raise TypeError(f"{method.__qualname__} wants {len(taken)} arguments, but a hook {hook} gets {given}")
    return min(given, len(taken))
