"""Prints the installed version of everything that `lipsmith[dev]` needs, as constraints for pip."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def needs(name: str, extras: set[str]) -> tuple[str, list[Requirement]]:
    """The installed version of a package, and what it needs with these extras."""
    if name == "lipsmith":
        project = tomllib.loads(PROJECT.read_text())["project"]
        texts = [
            *project["dependencies"],
            *(t for extra in extras - {""} for t in project["optional-dependencies"][extra]),
        ]
        return "", [Requirement(text) for text in texts]
    try:
        package = distribution(name)
    except PackageNotFoundError:
        sys.exit(f"{name} is not installed: make install")
    needed = [Requirement(text) for text in package.requires or ()]
    told = [r for r in needed if r.marker is None or any(r.marker.evaluate({"extra": extra}) for extra in extras)]
    return package.version, told


def locked() -> dict[str, str]:
    """Versions by name, of everything that lipsmith[dev] needs, directly or not."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement("lipsmith[dev]")]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        new = {extra for extra in wanted.extras | {""} if (name, extra) not in seen}
        if not new or name == "torch":  # the Makefile installs torch, in the build that fits the machine
            continue
        seen |= {(name, extra) for extra in new}
        version, needed = needs(name, new)
        waiting += needed
        if version:
            found[name] = version
    return found


if __name__ == "__main__":
    sys.stdout.write("# What `make install` takes; made by `make lock`.\n")
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(locked().items()))
