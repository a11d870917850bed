"""Errors speak in sentences: a capital first, a period last."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import lipsmith
from lipsmith import errors

PROPER = ("hama ",)
"""Names that begin with a small letter everywhere."""


def names(trees: Iterable[ast.AST]) -> set[str]:
    """Our errors, those of other modules included."""
    found = {name for name in vars(errors) if name.endswith("Error")}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return found | {one.name for one in classes if found & {ast.unparse(base) for base in one.bases}}


def sentences() -> Iterator[tuple[str, list[ast.expr]]]:
    """Where each of our errors is raised with a sentence that is written there, and its parts."""
    folder = Path(lipsmith.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))}
    ours = names(trees.values())
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ours and node.args:
                sentence = node.args[0]
                parts = sentence.values if isinstance(sentence, ast.JoinedStr) else [sentence]
                if isinstance(sentence, ast.JoinedStr | ast.Constant):
                    place = f"{path.relative_to(folder)}:{node.lineno}"
                    yield place, parts


@pytest.mark.parametrize(("place", "parts"), [pytest.param(*found, id=found[0]) for found in sentences()])
def test_an_error_is_a_sentence(place: str, parts: list[ast.expr]) -> None:
    begin, end = parts[0], parts[-1]
    if isinstance(begin, ast.Constant):
        assert not re.match(r"[a-z]+ (?!=)", str(begin.value)) or str(begin.value).startswith(PROPER)
    if isinstance(end, ast.Constant):
        assert str(end.value).endswith(".")
    else:  # the words of another error, which has its own period or none
        assert isinstance(end, ast.FormattedValue)
        assert ast.unparse(end.value) in {"error", "sentence"}


def test_errors_of_the_library_name_no_options_of_the_command() -> None:
    """Those of the service, which only the command starts, do, and of the words that a command is given."""
    found = [
        place
        for place, parts in sentences()
        if not place.startswith(("cli/", "serve/", "dubbing/turns.py"))
        and any(re.search("--[a-z]", str(part.value)) for part in parts if isinstance(part, ast.Constant))
    ]
    assert not found
