import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.records.record_salvage import (
    NAMES,
    Row,
    copies_in_indexes,
    is_intact,
    known_seqs,
    read_rows,
    rebuilt,
    rejoined,
)
from tests.index.embedded.stored_gallery import RECORDS, write_gallery


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(write_gallery(tmp_path / "data") / "gallery.sqlite")) as connection:
        connection.text_factory = bytes
        yield connection


def row_of(connection: sqlite3.Connection, seq: int) -> Row:
    ((_, row),) = read_rows(connection, [seq])
    return row


def test_rows_are_read_with_every_column(connection: sqlite3.Connection) -> None:
    assert known_seqs(connection) == list(range(1, 17))
    row = row_of(connection, 9)
    assert list(row) == NAMES
    assert row["id"] == RECORDS[8].id.encode()
    assert is_intact(row)
    assert row_of(connection, 77) == {}
    assert not is_intact({})


def test_indexes_keep_copies(connection: sqlite3.Connection) -> None:
    copies = copies_in_indexes(connection, [9, 77])
    row = row_of(connection, 9)
    columns = ["id", "content", "identity", "camera", "captured_at", "fingerprint", "precision", "source"]
    assert copies == {9: {name: row[name] for name in columns}, 77: {}}


def test_an_embedding_finds_its_record_again(connection: sqlite3.Connection) -> None:
    row = row_of(connection, 9)
    of_record = {name: row[name] for name in NAMES if name not in ("embedding", "theta")} | {"seq": 113}
    of_embedding = {name: row[name] for name in ("embedding", "theta")}
    other = row_of(connection, 10)
    copies = {9: {"id": row["id"]}, 10: {}, 113: {}}
    assert rejoined({9: of_embedding, 10: other, 113: of_record}, copies) == {9: row, 10: other}
    assert rejoined({9: of_embedding, 113: of_record}, {9: {}, 113: {}}) == {9: of_embedding, 113: of_record}


@pytest.mark.parametrize("column", ["id", "content", "identity", "camera", "fingerprint", "precision", "source"])
def test_a_row_is_rebuilt_from_copies(connection: sqlite3.Connection, column: str) -> None:
    row = row_of(connection, 9)
    assert rebuilt(row | {column: b"\xff"}, {column: row[column]}) == row
    # Two at once, and what follows from the others.
    damaged = row | {column: b"\xff", "identity": None, "whole_image": 0}
    assert rebuilt(damaged, {name: row[name] for name in (column, "identity")}) == row


@pytest.mark.parametrize("column", ["box", "tags", "embedding", "theta", "checksum", "media_type"])
def test_what_nobody_else_knows_is_not_guessed(connection: sqlite3.Connection, column: str) -> None:
    row = row_of(connection, 9)
    copies = copies_in_indexes(connection, [9])[9]
    assert rebuilt(row | {column: b"x" * len(row[column])}, copies) is None
    assert rebuilt({name: value for name, value in row.items() if name != column}, copies) is None
