"""Values as the command line reads them: help and errors without Python's words for types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

Value = int | float | str | Path

_WHOLE: Final = (int, "INT", "a whole number")
_NUMBER: Final = (float, "FLOAT", "a number such as 12.5")
_KINDS: Final[dict[Any, tuple[Callable[[str], Value], str, str]]] = {
    int: _WHOLE,
    int | None: _WHOLE,
    float: _NUMBER,
    float | None: _NUMBER,
    str | None: (str, "STR", "a text"),
    Path | None: (Path, "PATH", "a path"),
}

registry: Final = ConstructorRegistry()


@registry.primitive_rule
def _plain(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Value | None] | None:
    if info.type not in _KINDS:
        return None
    read, metavar, name = _KINDS[info.type]

    def from_words(words: list[str]) -> Value:
        try:
            return read(words[0])
        except ValueError:
            raise ValueError(f"{words[0]} is not {name}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=from_words,
        is_instance=lambda value: value is None or isinstance(value, Value),
        str_from_instance=lambda value: [str(value)],
    )
