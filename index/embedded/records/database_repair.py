"""Mends a gallery's database: indexes, records, a file with broken pages. What is damaged is set aside, not deleted."""

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.embedded.aside import AsideFolder
from index.embedded.disk import disk_errors, sync_folder
from index.embedded.records.database_check import database_problems, last_seq, log_problem, page_problems
from index.embedded.records.database_file import new_database, remove_database
from index.embedded.records.lenient_text import BROKEN
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
from index.embedded.records.record_store import SqliteRecordStore
from index.embedded.records.record_table import SCHEMA, SCHEMA_VERSION
from index.embedded.records.record_writer import transaction
from index.gallery.errors import GalleryError


@dataclass
class DatabaseRepair:
    """What a repair did.

    Attributes:
        done: what was mended, in sentences.
        lost: (id, source) of each record that was set aside, or that only an index still knew of.
    """

    done: list[str] = field(default_factory=list)
    lost: list[tuple[str, str | None]] = field(default_factory=list)


def repair_database(path: Path, aside: AsideFolder) -> DatabaseRepair:
    """Mends the database of a data folder that the caller owns; of an older layout it becomes this program's.

    Raises:
        GalleryError: it cannot be read at all, or another program reads it.
    """
    if not path.is_file():
        raise GalleryError(f"{path} is missing: restore it from a backup")
    repair = DatabaseRepair()
    if problem := log_problem(path):
        # SQLite takes over what is intact of the log and removes the rest.
        kept = aside.copy(path.with_name(f"{path.name}-wal"))
        repair.done.append(f"{problem}; as it was, it stays in {kept}")
    with disk_errors(path):
        if _layout(path) < SCHEMA_VERSION:
            SqliteRecordStore(path, may_create=False).close()
        with closing(_connect(path)) as connection:
            intact = _repair_in_place(connection, aside, repair)
        if not intact:
            _rebuild(path, aside, repair)
    return repair


def _layout(path: Path) -> int:
    with closing(_connect(path)) as connection:
        layout = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not 1 <= layout <= SCHEMA_VERSION:
        raise GalleryError(f"{path} has the layout {layout}: restore a backup, or use the program that wrote it")
    return layout


def _repair_in_place(connection: sqlite3.Connection, aside: AsideFolder, repair: DatabaseRepair) -> bool:
    """Rebuilds indexes and mends or sets aside records; False, and nothing done, if the file itself is broken."""
    kept = None
    try:
        problems = database_problems(connection, SCHEMA_VERSION)
        damaged = {seq: row for seq, row in read_rows(connection, known_seqs(connection)) if not is_intact(row)}
        if not problems and not damaged:
            return True
        copies = copies_in_indexes(connection, damaged)
        found = {seq: rebuilt(row, copies[seq]) for seq, row in damaged.items()}
        mended = {seq: row for seq, row in found.items() if row is not None}
        lost = {seq: row for seq, row in damaged.items() if seq not in mended}
        with transaction(connection):
            connection.execute("REINDEX")
            # Where the tables themselves are broken, a change could hit another row than it means.
            if broken := page_problems(connection):
                raise sqlite3.DatabaseError(broken[0])
            for seq, row in mended.items():
                _overwrite(connection, seq, row)
            lost = {seq: row for seq, row in lost.items() if row or not _has_id(connection, copies[seq])}
            kept = _set_aside(lost, copies, aside)
            for table in ("record", "embedding"):
                connection.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in lost])  # noqa: S608
            _raise_last_seq(connection)
            if remaining := database_problems(connection, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(remaining[0])
    except BROKEN as error:
        if kept is not None:
            kept.unlink()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise
        return False
    if problems:
        repair.done.append(f"indexes and counters of the database were rebuilt ({problems[0]})")
    _report(repair, len(mended), lost, copies, kept)
    return True


def _rebuild(path: Path, aside: AsideFolder, repair: DatabaseRepair) -> None:
    """Writes every record that can be read into a new file, under its seq, which takes the place of the old one."""
    unfinished = path.with_name(f"{path.name}.rebuilt.tmp")
    try:
        with closing(_connect(path)) as old, new_database(unfinished) as new:
            new.executescript(SCHEMA)
            num_mended, lost, copies = _copy_readable(old, new)
            if not lost and not _has_records(new) and not _is_readable(old):
                raise GalleryError(f"nothing of the records in {path} can be read: restore it from a backup")
            if remaining := database_problems(new, SCHEMA_VERSION):
                raise GalleryError(f"{path} cannot be rebuilt: {remaining[0]}; restore it from a backup")
            if old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise GalleryError(f"another program reads {path}: stop it, and repair again")
        kept_database = aside.copy(path)
        kept = _set_aside(lost, copies, aside)
        # A log of the old file would be taken for the new one's.
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        unfinished.replace(path)
        sync_folder(path.parent)
    except BaseException:
        remove_database(unfinished)
        raise
    repair.done.append(
        f"the database had broken pages and was rebuilt; as it was, it stays in {kept_database}; deletions that could "
        "still be undone are final now"
    )
    _report(repair, num_mended, lost, copies, kept)


def _copy_readable(old: sqlite3.Connection, new: sqlite3.Connection) -> tuple[int, dict[int, Row], dict[int, Row]]:
    """How many rows were mended on the way, those that are lost, and what the indexes know of the latter."""
    damaged: dict[int, Row] = {}
    num_mended = 0
    with transaction(new):
        for seq, row in read_rows(old, known_seqs(old)):
            if is_intact(row) and not _has_id(new, row):
                _insert(new, row)
            else:
                damaged[seq] = row
        copies = copies_in_indexes(old, damaged)
        damaged = rejoined(damaged, copies)
        lost = {}
        for seq, row in damaged.items():
            mended = row if is_intact(row) else rebuilt(row, copies[seq])
            if mended is not None and not _has_id(new, mended):
                _insert(new, mended)
                num_mended += 1
            # An index that is damaged itself may name a record under another seq.
            elif row or not _has_id(new, copies[seq]):
                lost[seq] = row
        with suppress(*BROKEN):
            _raise_last_seq(new, last_seq(old))
    return num_mended, lost, copies


def _set_aside(lost: dict[int, Row], copies: dict[int, Row], aside: AsideFolder) -> Path | None:
    return aside.write_rows({"seq": seq} | copies[seq] | row for seq, row in lost.items()) if lost else None


def _report(
    repair: DatabaseRepair, num_mended: int, lost: dict[int, Row], copies: dict[int, Row], kept: Path | None
) -> None:
    if num_mended:
        repair.done.append(f"{num_mended} damaged records were rebuilt from what SQLite's indexes keep of them")
    if lost:
        repair.done.append(f"{len(lost)} damaged records were taken out; what is left of them is in {kept}")
    sources: dict[str, str | None] = {}
    for seq, row in lost.items():
        known = copies[seq] | row
        sources.setdefault(_decoded(known.get("id")) or f"(record {seq})", _decoded(known.get("source")))
    repair.lost += sources.items()


def _has_records(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM record LIMIT 1").fetchone() is not None


def _is_readable(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT count(*) FROM record NOT INDEXED").fetchone()
    except BROKEN:
        return False
    return True


def _has_id(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether there is a record with the id of this row."""
    id_ = _decoded(row.get("id"))
    return connection.execute("SELECT 1 FROM record WHERE id = ?", [id_]).fetchone() is not None


def _insert(connection: sqlite3.Connection, row: Row) -> None:
    names = NAMES[:-2]
    connection.execute(
        f"INSERT INTO record ({','.join(names)}) VALUES ({','.join('?' * len(names))})",  # noqa: S608 (no values)
        [_stored(row, name) for name in names],
    )
    connection.execute(
        "INSERT INTO embedding (seq, embedding, theta) VALUES (?, ?, ?)", [row["seq"], row["embedding"], row["theta"]]
    )


def _overwrite(connection: sqlite3.Connection, seq: int, row: Row) -> None:
    names = NAMES[1:-3]
    connection.execute(
        f"UPDATE record SET {','.join(f'{name} = ?' for name in names)} WHERE seq = ?",  # noqa: S608 (no values)
        [*(_stored(row, name) for name in names), seq],
    )


def _stored(row: Row, name: str) -> Any:
    value = row[name]
    return value.decode() if isinstance(value, bytes) and name != "checksum" else value


def _raise_last_seq(connection: sqlite3.Connection, at_least: int = 0) -> None:
    """No seq is ever given twice: what the database remembers as the last one is none below that of a record."""
    # What was deleted keeps its seq, until it is brought back under another one.
    tables = "(SELECT seq FROM record NOT INDEXED UNION ALL SELECT seq FROM deleted_record)"
    highest = connection.execute(f"SELECT coalesce(max(seq), 0) FROM {tables}").fetchone()[0]  # noqa: S608 (no values)
    wanted = max(last_seq(connection), highest, at_least if at_least < 2**53 else 0)
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'record'")
    if wanted:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('record', ?)", [wanted])


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    # Of a file that was cut short SQLite otherwise gives nothing, if any of its tables began behind the end.
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cell_size_check = ON")
    # The disk may have made a text invalid.
    connection.text_factory = bytes
    return connection


def _decoded(value: object) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else None
