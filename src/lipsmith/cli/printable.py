"""Names and texts of files as they may be printed: control characters could do more to a terminal than that."""

from __future__ import annotations

import logging
import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text without control characters other than tabs and new lines."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


class PrintableFormatter(logging.Formatter):
    """Formats log lines without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return printable(super().format(record))
