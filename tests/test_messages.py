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


def sentences() -> Iterator[tuple[str, ast.Constant | None, ast.expr]]:
    """Where each of our errors is raised with a sentence that is written there, its first words and its end."""
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
                    yield place, parts[0] if isinstance(parts[0], ast.Constant) else None, parts[-1]


@pytest.mark.parametrize(("place", "begin", "end"), [pytest.param(*found, id=found[0]) for found in sentences()])
def test_an_error_is_a_sentence(place: str, begin: ast.Constant | None, end: ast.expr) -> None:
    if begin:
        assert not re.match(r"[a-z]+ (?!=)", str(begin.value)) or str(begin.value).startswith(PROPER)
    if isinstance(end, ast.Constant):
        assert str(end.value).endswith(".")
    else:  # the words of another error, which has its own period or none
        assert isinstance(end, ast.FormattedValue)
        assert ast.unparse(end.value) in {"error", "sentence"}
