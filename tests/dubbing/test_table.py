"""Tables of jobs: spreadsheet formats are read, and invalid rows are refused with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.dubbing.table import read_table
from lipsmith.errors import InputError

COLUMNS = ("video", "speech", "output")
ONE = {"video": "a.mp4", "speech": "b.wav", "output": "c.mp4"}


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_what_is_no_table_of_jobs_is_told_what_one_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give a CSV file with the columns video, speech, output"):
        read_table(tmp_path, COLUMNS)
    with pytest.raises(InputError, match=r"no column video, only a\.mp4, b\.wav; its first line names the columns v"):
        read_table(table(tmp_path, "a.mp4,b.wav\n"), COLUMNS)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("video,speech,output\na.mp4,b.wav,c.mp4\n", "utf-8"),
        ("video;speech;output\r\na.mp4;b.wav;c.mp4\r\n", "utf-8-sig"),
        ("output\tvideo\tspeech\nc.mp4\ta.mp4\tb.wav", "utf-8"),
        ('video,speech,output\n"a.mp4", "b.wav" ,c.mp4\n', "utf-8"),
        ("video,speech,output,\na.mp4,b.wav,c.mp4,\n,,,\n\n  , ,,\n", "utf-8"),
    ],
)
def test_spreadsheet_formats_are_read(tmp_path: Path, text: str, encoding: str) -> None:
    if '" ,' in text:
        with pytest.raises(InputError, match="line 2"):
            read_table(table(tmp_path, text, encoding), COLUMNS)
        return
    assert read_table(table(tmp_path, text, encoding), COLUMNS) == [(2, ONE)]


def test_a_quoted_name_may_contain_the_separator_and_quotes(tmp_path: Path) -> None:
    path = table(tmp_path, 'video,speech,output\n"a, ""b"".mp4",b.wav,c.mp4\n')
    assert read_table(path, COLUMNS)[0][1]["video"] == 'a, "b".mp4'


WRONG = [
    ('a.mp4,b.wav,c.mp4\na.mp4,b.wav,"q1.mp4\na.mp4,b.wav,q2.mp4\n', "line 3: a quote that starts there"),
    ('a.mp4,b.wav,"q1.mp4\na.mp4,b.wav,q2.mp4"\n', "line 2: a cell spans several lines"),
    ('a.mp4,b.wav,"q1.mp4\na.mp4,b.wav,"q2.mp4\n', "line 2: "),
    ("a.mp4,b.wav,c.mp4\n\na.mp4,b, c.wav,c.mp4\n", "line 4: a cell has no column"),
    ("a.mp4,,c.mp4\n", "line 2: the columns video, speech and output must all be filled"),
    ("a.mp4,b.wav,c\0.mp4\n", "line 2: a cell contains a NUL"),
    ("a.mp4,b.wav\n", "line 2: the columns video, speech and output must all be filled"),
]


@pytest.mark.parametrize(("rows", "said"), WRONG)
def test_invalid_rows_are_refused_with_their_line(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_table(table(tmp_path, f"video,speech,output\n{rows}"), COLUMNS)


@pytest.mark.parametrize("header", ["video,speech,output,face", "video,speech,output,video"])
def test_an_unknown_column_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputError, match="is unknown or named twice"):
        read_table(table(tmp_path, f"{header}\na.mp4,b.wav,c.mp4,2\n"), COLUMNS)


def test_other_encodings_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        read_table(table(tmp_path, "video,speech,output\nZoë.mp4,b.wav,c.mp4\n", "latin-1"), COLUMNS)
    with pytest.raises(InputError, match="is empty; give a table with the columns video, speech"):
        read_table(table(tmp_path, ""), COLUMNS)
