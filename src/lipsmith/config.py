"""Reads dataclasses from TOML and JSON, their fields' texts, devices, and arguments; reports errors in one sentence."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from inspect import getsource
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from lipsmith.errors import LipsmithError, UsageError

T = TypeVar("T")
Kind = Literal["landmarks", "lips", "occlusion", "renderer", "sync"]
"""Folders of packaged configs, by the network that they train."""
DeviceKind = Literal["auto", "cpu", "cuda"]
"""Kinds of device; auto: a GPU if one can be used."""
_DEVICE: Final = re.compile(r"(auto|cpu|cuda)|cuda:(\d+)")
_RENAMED: Final = {"neighbours": "neighbors"}
"""Keys of older configs, models, cards and checkpoints, and their present names."""


class Device(NamedTuple):
    """Where networks run."""

    kind: DeviceKind
    number: int | None
    """Number of the GPU; None if it is not given."""


def field_texts(cls: type) -> dict[str, str]:
    """The docstrings of a dataclass's fields, inherited ones too, each on one line; none without the source."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        with suppress(OSError):
            (declaration,) = ast.parse(dedent(getsource(base))).body
            assert isinstance(declaration, ast.ClassDef)
            for field, text in pairwise(declaration.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    texts[ast.unparse(field.target)] = " ".join(str(ast.literal_eval(text.value)).split())
    return texts


def parse_device(device: str) -> Device:
    """The device auto, cpu, cuda or cuda:N. Raises `UsageError` for any other word."""
    match = _DEVICE.fullmatch(str(device))
    if match is None:
        raise UsageError(f"Device {device!r} is unknown; use auto, cpu, cuda or cuda:N.")
    return Device(cast("DeviceKind", match[1] or "cuda"), int(match[2]) if match[2] else None)


def path_of(path: object, name: str) -> Path:
    """`path`, named `name` in messages, as a path. Raises `UsageError` for anything else."""
    try:
        given = os.fsdecode(cast("os.PathLike[str]", path))
    except TypeError:
        raise UsageError(f"{name} is of type {type(path).__name__}; give a path.") from None
    if not given or "\0" in given:  # an empty path would be the current folder
        raise UsageError(f"{name} {'contains a NUL character' if given else 'is an empty path'}; give a path.")
    return Path(given)


def of_kind(value: object, kind: type[T], what: str, wanted: str) -> T:
    """`value` if it is a `kind`. Raises `UsageError` for anything else; `what` begins the message, `wanted` ends it."""
    if not isinstance(value, kind):
        raise UsageError(f"{what} of type {type(value).__name__}; give {wanted}.")
    return value


def load_config(cls: type[T], kind: Kind, name_or_path: str | Path) -> T:
    """An instance of the frozen dataclass `cls`, read from a TOML file.

    `name_or_path` is a file, or the name of a packaged config of that kind (`fast` for `configs/<kind>/fast.toml`).
    Raises UsageError for a file that does not exist or is not TOML, and the errors of `build`.
    """
    return build(cls, read_toml(kind, name_or_path), str(name_or_path))


def read_toml(kind: Kind, name_or_path: str | Path) -> dict[str, Any]:
    """The content of a TOML file, found as in `load_config`; errors as there."""
    try:
        return tomllib.loads(_read(kind, name_or_path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name_or_path}: not a TOML file ({error}).") from error


def build(cls: type[T], table: object, where: str, raises: type[LipsmithError] = UsageError) -> T:
    """The dataclass `cls` from a mapping read from TOML or JSON.

    Tables become nested dataclasses; missing keys keep their defaults, and `renamed` ones may have their old names.
    Raises `raises` for an unknown key, a value of the wrong type, or a value that the dataclass rejects; the message
    begins with `where`, the file's name.
    """
    try:
        # Strict JSON mode converts whole numbers to floats, lists to tuples and strings to paths, and nothing else.
        parsed = _holder(cls).model_validate_json(  # type: ignore[arg-type]
            json.dumps({"value": renamed(table)}, default=str)
        )
    except ValidationError as error:
        raise raises(f"{where}: {_sentence(cls, error)}.") from error
    value: T = parsed.value  # type: ignore[attr-defined]
    return value


def renamed(table: Any) -> Any:  # noqa: ANN401 - of TOML or JSON
    """A table with the present names of all keys, in the tables within it, too."""
    if not isinstance(table, Mapping):
        return table
    return {_RENAMED.get(key, key): renamed(value) for key, value in table.items()}


def require_range(config: object, least: float, most: float, *names: str) -> None:
    """For `__post_init__`: raise ValueError for an attribute of `config`, number or numbers, not in [least, most]."""
    wanted = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
    for name in names:
        value = getattr(config, name)
        if not all(least <= number <= most for number in (value if isinstance(value, Sequence) else (value,))):
            raise ValueError(f"{name} = {value} should be {wanted}")


def packaged_configs(kind: Kind) -> list[str]:
    """Names of the packaged configs of a kind."""
    files = (resources.files("lipsmith") / "configs" / kind).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _read(kind: Kind, name_or_path: str | Path) -> str:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise UsageError(f"{path}: no such config file.")
        return path.read_text(encoding="utf-8")
    known = packaged_configs(kind)
    if str(name_or_path) not in known:
        raise UsageError(
            f"No {kind} config is called '{name_or_path}'; give a .toml file or one of {', '.join(known)}."
        )
    return (resources.files("lipsmith") / "configs" / kind / f"{name_or_path}.toml").read_text(encoding="utf-8")


@cache
def _holder(cls: type) -> type[BaseModel]:
    """A model around `cls`: pydantic applies a model's settings to nested plain dataclasses, unlike a TypeAdapter's."""
    settings = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model("Holder", __config__=settings, value=(cls, ...))


def _sentence(cls: type, error: ValidationError) -> str:
    """The first error: key, value, and what is expected."""
    first = error.errors(include_url=False)[0]
    place = first["loc"][1:]
    key = _dotted(place)
    if first["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in dataclasses.fields(_class_at(cls, place[:-1])))
        return f"unknown key '{key}'; it may be one of {known}"
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":
        reason = str(first["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    return f"{key} = {first['input']!r}{first['msg'].removeprefix('Input')}".removeprefix(" = ")


def _dotted(place: Sequence[str | int]) -> str:
    """The path to a value as text, such as `model.levels[2]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _class_at(cls: type, place: Sequence[str | int]) -> Any:  # noqa: ANN401 - some dataclass
    for part in place:
        cls = get_type_hints(cls)[str(part)]
    return cls
