"""What the README tells a user to type exists: verbs, options, names of the API, files."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from lipsmith.cli import load_verb, main, parse_options, split_verb

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """The README's, and those set apart in the other documents."""
    lines = [line.strip() for block in blocks("bash") for line in block.splitlines()]
    for document in sorted((ROOT / "docs").glob("*.md")):
        joined = document.read_text(encoding="utf-8").replace("\\\n", " ")
        lines += re.findall(r"^ {4}(lipsmith .*)$", joined, flags=re.MULTILINE)
    return [line for line in lines if line.startswith("lipsmith ")]


@pytest.mark.parametrize("command", commands())
def test_every_command_is_understood(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    if words[-1] == "--help":
        assert main(words) == 0
        return
    verb, rest = split_verb(words)
    module = load_verb(verb)
    assert isinstance(parse_options(verb, module, rest), module.Options)


def test_the_python_example_uses_names_that_exist() -> None:
    import lipsmith

    (example,) = blocks("python")
    tree = ast.parse(example)
    exec(compile(ast.Module([tree.body[0]], []), "README.md", "exec"), {})
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    called = {function.attr for function in calls if isinstance(function, ast.Attribute)}
    public = {name for each in lipsmith.__all__ for name in (each, *dir(getattr(lipsmith, each)))}
    assert {"from_pretrained", "prepare", "dub", "save", "frames"} <= called <= public


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).is_file()
