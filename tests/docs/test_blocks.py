"""Every code block of the documents runs, or has a comment above it with the reason why it cannot run here."""

from __future__ import annotations

import re
import shlex
import wave
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from typing import Final

import numpy as np
import pytest

from lipsmith.cli import load_verb, main, parse_options, split_verb
from lipsmith.media import VideoWriter
from lipsmith.media.container import is_result
from synthetic import FACE, SPEECH_RATE, Motion, large_face_enters, make_film, speech

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = [
    "README.md",
    "docs/guide.md",
    *sorted(f"docs/recipes/{p.name}" for p in ROOT.glob("docs/recipes/*")),
]
_BLOCK: Final = re.compile(
    r"(?:<!-- not run: (?P<why>.*?) -->\n)?```(?P<language>bash|python)\n(?P<text>.*?)```", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A code block of a document."""

    document: str
    number: int
    language: str
    text: str
    why_not: str | None
    """Why it cannot run in a test."""

    def __str__(self) -> str:
        return f"{self.document}:{self.number}"


def blocks(document: str) -> list[Block]:
    found = _BLOCK.finditer((ROOT / document).read_text(encoding="utf-8"))
    return [Block(document, number, m["language"], m["text"], m["why"]) for number, m in enumerate(found, 1)]


def commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def set_apart() -> list[str]:
    """Return the indented commands in documents, above the tables that they wrote."""
    documents = sorted((ROOT / "docs").rglob("*.md"))
    texts = [document.read_text(encoding="utf-8").replace("\\\n", " ") for document in documents]
    return [line for text in texts for line in re.findall(r"^ {4}(lipsmith .*)$", text, flags=re.MULTILINE)]


ALL: Final = [block for document in DOCUMENTS for block in blocks(document)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with short versions of the files that the documents name."""
    root = tmp_path_factory.mktemp("reader")
    make_film(root / "film.mp4", 0.8, motion=Motion(shift=0.02))
    copy(FACE, root / "portrait.png")
    samples = (speech(0.24) * 32767).astype(np.int16)
    with wave.open(str(root / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(samples.tobytes())
    for name in ("bonjour", "music", "anna", "ben"):
        copy(root / "speech.wav", root / f"{name}.wav")
    make_film(root / "speech.m4a.mp4", 0.24, audio=speech(0.24)).rename(root / "speech.m4a")
    with VideoWriter(root / "panel.mp4", 440, 240, 25) as panel:
        for index, image in enumerate(large_face_enters(40)[28:]):
            panel.write(image, index / 25)
    for place, name in (("films", "film.mp4"), ("voices", "speech.wav")):
        (root / place).mkdir()
        copy(root / name, root / place / f"scene{Path(name).suffix}")
    (root / "lines.csv").write_text("start,end,face,speech\n0,0.2,1,anna.wav\n0.2,,2,ben.wav\n")
    (root / "jobs.csv").write_text("video,speech,output\nfilm.mp4,speech.wav,first.mp4\n")
    for split, person in (("train", "anna"), ("val", "ben")):
        (root / "footage" / split).mkdir(parents=True)
        film = root / "footage" / split / f"{person}_1.mp4"
        make_film(film, 1.2, motion=Motion(shift=0.02, turn=2.0), audio=speech(1.2))
    return root


def assert_understood(words: list[str]) -> None:
    verb, rest = split_verb(words)
    module = load_verb(verb)
    assert isinstance(parse_options(verb, module, rest), module.Options)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "bash"], ids=str)
def test_every_command_in_the_documents_is_parsed(block: Block) -> None:
    for words in commands(block):
        if words[0] == "lipsmith" and words[-1] != "--help":
            assert_understood(words[1:])


@pytest.mark.parametrize("line", set_apart())
def test_every_command_above_a_table_is_parsed(line: str) -> None:
    assert_understood(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("block", ALL, ids=str)
def test_every_block_runs(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.why_not:
        pytest.skip(block.why_not)
    monkeypatch.chdir(folder)
    if block.language == "python":
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
        return
    for words in commands(block):
        assert words[0] == "lipsmith", words
        again = ["--overwrite"] if {"-o", "--pairs"} & set(words) else []
        assert main([*words[1:], *again]) == 0, shlex.join(words)


def test_a_block_that_is_not_run_has_a_reason() -> None:
    assert all(block.why_not is None or len(block.why_not) > 10 for block in ALL)
    assert sum(block.why_not is None for block in ALL) >= 8


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()))))
def test_every_link_in_the_readme_points_to_a_file(target: str) -> None:
    assert (ROOT / target).is_file()


@pytest.mark.parametrize("film", sorted((ROOT / "docs").glob("*.mp4")), ids=lambda film: film.name)
def test_every_film_in_the_documents_says_that_it_is_synthetic(film: Path) -> None:
    assert is_result(film)
