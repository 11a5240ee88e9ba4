"""What the disk did to a gallery's database: its pages, indexes, layout and write-ahead log. Changes nothing."""

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from index.embedded.records.lenient_text import BROKEN, LENIENT_TEXT
from index.embedded.records.record_table import ATTRIBUTES_COLUMN, SCHEMA, SOURCE_COLUMN

# Problems listed at most: one damaged page makes thousands.
_MAX_PROBLEMS: Final = 100
# Steps of SQLite's machine between two questions whether to stop: some milliseconds.
_STEPS: Final = 100_000

_LOG_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_LITTLE_ENDIAN_SUMS: Final = 0x377F0682
# A log that a service left behind is some megabytes; the sums of a larger one would take minutes.
_MAX_LOG_BYTES: Final = 64_000_000


def database_problems(
    connection: sqlite3.Connection, layout: int, stop_asked: Callable[[], bool] = lambda: False
) -> list[str]:
    """What is wrong with a database, each in one line; empty if nothing is.

    The records' own checksums are not looked at, and nothing is reported that was not looked at because of a stop.
    """
    # An interrupt of the keyboard waits for SQLite otherwise, which takes a minute for millions of records.
    connection.set_progress_handler(stop_asked, _STEPS)
    try:
        with _lenient(connection):
            return _problems(connection, layout)
    except BROKEN as error:
        return [] if stop_asked() else [str(error)]
    finally:
        connection.set_progress_handler(None, 0)


def _problems(connection: sqlite3.Connection, layout: int) -> list[str]:
    found = _layout_problems(connection, layout)
    found += page_problems(connection)
    orphans = len(connection.execute("PRAGMA foreign_key_check").fetchall())
    if orphans:
        found.append(f"{orphans} embeddings belong to no record")
    # In this order: a record that is enrolled in between has raised the last number too.
    highest = connection.execute("SELECT max(seq) FROM record NOT INDEXED").fetchone()[0]
    last = last_seq(connection)
    if highest is not None and last < highest:
        found.append(f"the last number given to a record is said to be {last}, but there is a record {highest}")
    return found


def page_problems(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the pages of tables and indexes, each in one line."""
    with _lenient(connection):
        lines = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})")]
    return [" ".join(line.split()) for line in lines if line != "ok"]


@contextmanager
def _lenient(connection: sqlite3.Connection) -> Iterator[None]:
    text_factory, connection.text_factory = connection.text_factory, LENIENT_TEXT
    try:
        yield
    finally:
        connection.text_factory = text_factory


def last_seq(connection: sqlite3.Connection) -> int:
    """The last seq that was given to a record, as far as the database knows."""
    rows = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchall()
    return max((row[0] for row in rows if isinstance(row[0], int)), default=0)


def _layout_problems(connection: sqlite3.Connection, layout: int) -> list[str]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as expected:
        expected.executescript(SCHEMA)
        if layout < 3:
            expected.executescript("DROP TABLE deletion; DROP TABLE deleted_embedding; DROP TABLE deleted_record")
        wanted, found = _layout(expected), _layout(connection)
    if layout == 1:
        later = [column.split()[0] for column in (SOURCE_COLUMN, ATTRIBUTES_COLUMN)]
        wanted = [line for line in wanted if not any(f" {column}" in line for column in later)]
    missing = [f"the database lacks {line}" for line in wanted if line not in found]
    return missing + [
        f"the database has {line}, which this program did not make" for line in found if line not in wanted
    ]


def _layout(connection: sqlite3.Connection) -> list[str]:
    """Columns, references and indexes of the tables, one a line."""
    lines = []
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall():
        if table.startswith("sqlite_"):
            continue
        quoted = '"' + table.replace('"', '""') + '"'
        columns = connection.execute(f"PRAGMA table_xinfo({quoted})").fetchall()
        lines += [f"the column {table}: {' '.join(map(str, row[1:4]))} {row[4]} {row[5]}" for row in columns]
        references = connection.execute(f"PRAGMA foreign_key_list({quoted})").fetchall()
        lines += [f"the reference of {table} {' '.join(map(str, row[2:7]))}" for row in references]
        for _, name, unique, *_ in connection.execute(f"PRAGMA index_list({quoted})").fetchall():
            of_index = [row[2] for row in connection.execute(f'PRAGMA index_info("{name}")')]
            lines.append(f"the index {name} on {table} {unique} {' '.join(map(str, of_index))}")
    return sorted(lines)


def log_problem(database: Path) -> str | None:
    """Whether commits in the write-ahead log that a killed service left are lost: SQLite overlooks them in silence.

    A write under way while this reads may look like it: ask again, and believe what is said twice.
    """
    path = database.with_name(f"{database.name}-wal")
    if not path.is_file() or not 0 < path.stat().st_size <= _MAX_LOG_BYTES:
        return None
    log = path.read_bytes()
    if len(log) < _LOG_HEADER.size + _FRAME_HEADER.size:
        return None  # it was killed before it wrote anything
    magic, _, page_size, _, *salts, sum_0, sum_1 = _LOG_HEADER.unpack_from(log)
    order = "<" if magic == _LITTLE_ENDIAN_SUMS else ">"
    sums = _add_to_sums((0, 0), log[: _LOG_HEADER.size - 8], order)
    if sums != (sum_0, sum_1) or page_size < 512:
        return "the write-ahead log is damaged at its beginning: the last commits are lost"
    intact = True
    for start in range(_LOG_HEADER.size, len(log) - page_size - _FRAME_HEADER.size + 1, page_size + _FRAME_HEADER.size):
        _, size_after_commit, *frame_salts, sum_0, sum_1 = _FRAME_HEADER.unpack_from(log, start)
        if intact:
            page = start + _FRAME_HEADER.size
            sums = _add_to_sums(_add_to_sums(sums, log[start : start + 8], order), log[page : page + page_size], order)
            intact = frame_salts == salts and sums == (sum_0, sum_1)
        # Behind the last intact frame lie those of an earlier log, both of whose salts are others, or a write that was
        # cut short, which has no commit.
        of_this_log = frame_salts[0] == salts[0] or frame_salts[1] == salts[1]
        if not intact and of_this_log and size_after_commit:
            return "the write-ahead log is damaged: its last commits are lost"
    return None


def _add_to_sums(sums: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    """The running checksums of SQLite's log, over pairs of 32-bit numbers."""
    first, second = sums
    numbers = struct.unpack(f"{order}{len(data) // 4}I", data)
    for i in range(0, len(numbers), 2):
        first = (first + numbers[i] + second) & 0xFFFFFFFF
        second = (second + numbers[i + 1] + first) & 0xFFFFFFFF
    return first, second
