"""Results as CSV, for spreadsheets and programs alike: UTF-8, every cell quoted, nothing that runs as a formula.

Names and paths come from whoever enrolled them, and a spreadsheet would run one that begins like a formula. So a text
that begins with one of ``= + - @`` (in full width, too), a tab, a line break or an apostrophe gets an apostrophe before
it. A program that reads the file takes one apostrophe away from each text that begins with one. Numbers stay as they
are.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

Cell = str | int | float | None

_GUARD: Final = "'"
_GUARDED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", _GUARD)


def csv_bytes(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Rows as lines of the file; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([guarded(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue().encode()


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"{_GUARD}{text}" if text.startswith(_GUARDED) else text


def unguarded(cell: str) -> str:
    """The text that a cell of such a file was made of."""
    return cell.removeprefix(_GUARD)
