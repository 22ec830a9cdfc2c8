"""Short reprs: the call that makes an equal object, defaults left out."""

import inspect
from typing import Any, ClassVar


class Shown:
    """Base of classes whose repr is the call that makes an equal object, without the arguments that are the defaults.

    An argument that must be given, if it is the first, stands without its name, as do those in `_unnamed`. An object
    that does not keep its arguments as attributes has the repr of any object.
    """

    _unnamed: ClassVar[tuple[str, ...]] = ()

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out."""
        try:
            return bool(value == default)
        except ValueError:  # an array
            return False

    def __repr__(self) -> str:
        parts: list[str] = []
        for i, parameter in enumerate([*inspect.signature(type(self).__init__).parameters.values()][1:]):
            name, default = parameter.name, parameter.default
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if name not in self.__dict__:
                return object.__repr__(self)
            value = self.__dict__[name]
            if default is not parameter.empty and self._is_default(name, value, default):
                continue
            unnamed = len(parts) == i and ((i == 0 and default is parameter.empty) or name in self._unnamed)
            parts.append(repr(value) if unnamed else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"
