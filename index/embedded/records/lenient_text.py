"""Texts of a database, read also where the disk made them invalid."""

import sqlite3
from functools import partial
from typing import Final

LENIENT_TEXT: Final = partial(str, encoding="utf-8", errors="replace")
"""A connection's `text_factory`: a changed byte becomes a replacement character, and the record's checksum tells."""

BROKEN: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What Python raises for a broken database: SQLite's messages quote what they found, even if it is no text."""
