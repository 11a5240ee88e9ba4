"""Cursors that are the number of the last row of the page before."""

import re

from index.gallery.errors import CursorError
from index.gallery.fields import shorten


def number_of(cursor: str) -> int:
    """The number, 1 or more.

    Raises:
        CursorError: it is none that a page gave.
    """
    if not re.fullmatch("[1-9][0-9]{0,17}", cursor):
        raise CursorError(f"{shorten(cursor)} is no cursor: take next_cursor of the page before, or none")
    return int(cursor)
