"""Damage of every kind: found, repaired, and nothing else lost."""

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.gallery_check import FolderFindings, check_folder
from index.embedded.gallery_repair import FolderRepair, repair_folder
from index.embedded.records.record_store import SqliteRecordStore
from tests.index.embedded.stored_gallery import (
    FRAMES,
    RECORDS,
    TRASHED,
    image_path,
    stored_values,
    throw_into_trash,
    trash_path,
    tree,
    write_gallery,
)
from tests.index.records import tamper, values

IDS = [record.id for record in RECORDS]
ALL = {record.id: values(record) for record in RECORDS}
LONE = RECORDS[8]  # no other record shows its image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "data")


def check(folder: Path) -> FolderFindings:
    return check_folder(folder, lambda *_: None, lambda: False)


def repaired(folder: Path) -> FolderRepair:
    found = check(folder)
    assert not found.sound
    return repair_folder(folder, found)


def database(folder: Path) -> Path:
    return folder / "gallery.sqlite"


def assert_opens(folder: Path) -> None:
    with closing(SqliteRecordStore(database(folder))) as store, store.transaction() as writer:
        writer.delete([store.last_seq + 1])


def test_a_sound_gallery_is_sound_and_stays_as_it_is(folder: Path) -> None:
    before = tree(folder)
    found = check(folder)
    assert found.sound
    assert (found.gallery.num_records, found.gallery.num_images) == (len(RECORDS), len(FRAMES))
    assert found.gallery.strays == []
    assert tree(folder) == before
    assert repair_folder(folder, found).done == []
    assert stored_values(folder) == ALL


COLUMN_CHANGES = {
    "media_type": "'image/webp'",
    "box": "'0,0,60,41'",
    "whole_image": "1 - whole_image",
    "identity": "'x8 '",
    "camera": "NULL",
    "captured_at": "5",
    "latitude": "1.5",
    "tags": "'[\"a\"]'",
    "source": "'other.jpg'",
    "attributes": '\'{"a":"b"}\'',
    "fingerprint": "'f'",
    "precision": "'bf16'",
    "enrolled_at": "enrolled_at + 1",
    "checksum": "zeroblob(32)",
    "content": f"'{'0' * 64}'",
    "id": f"'{'0' * 32}'",
}


@pytest.mark.parametrize("column", COLUMN_CHANGES)
def test_a_change_of_any_field_is_found_and_the_record_is_set_aside_or_rebuilt(folder: Path, column: str) -> None:
    seq = RECORDS.index(LONE) + 1
    tamper(database(folder), f"UPDATE record SET {column} = {COLUMN_CHANGES[column]} WHERE seq = {seq}")
    (damaged,) = check(folder).gallery.damaged_records
    assert damaged.seq == seq
    # Its image is known by its id, or by its content.
    assert damaged.image == (None if column in ("id", "box") else LONE.content)
    repair = repaired(folder)
    # What follows from other columns needs nobody.
    expected = ALL if column in ("id", "whole_image") else {id_: ALL[id_] for id_ in IDS if id_ != LONE.id}
    assert stored_values(folder) == expected
    assert [id_ for id_, _ in repair.enrol_again] == [id_ for id_ in IDS if id_ not in expected]
    again = check(folder)
    assert again.sound
    assert again.gallery.strays == ([] if expected == ALL else [LONE.content])
    assert_opens(folder)


@pytest.mark.parametrize("change", ["zeroblob(64)", "substr(embedding, 5)"])
def test_a_damaged_embedding_is_kept_beside(folder: Path, change: str) -> None:
    tamper(database(folder), f"UPDATE embedding SET embedding = {change} WHERE seq = 9")
    assert repaired(folder).enrol_again == [(LONE.id, LONE.fields.source)]
    (path,) = (folder / "damaged").glob("records-*.jsonl")
    (row,) = map(json.loads, path.read_text().splitlines())
    assert (row["id"], row["identity"], row["seq"]) == (LONE.id, LONE.fields.identity, 9)
    assert row["embedding"].keys() == row["theta"].keys() == row["checksum"].keys() == {"base64"}
    assert check(folder).sound


def test_a_lost_embedding_is_named(folder: Path) -> None:
    tamper(database(folder), "DELETE FROM embedding WHERE seq = 9")
    (damaged,) = check(folder).gallery.damaged_records
    assert (damaged.id, damaged.problem, damaged.image) == (LONE.id, "its embedding is lost", LONE.content)
    assert repaired(folder).enrol_again == [(LONE.id, LONE.fields.source)]
    assert check(folder).sound


def test_an_embedding_without_a_record_is_set_aside(folder: Path) -> None:
    tamper(database(folder), "INSERT INTO embedding SELECT 77, embedding, theta FROM embedding WHERE seq = 9")
    assert check(folder).database == ["1 embeddings belong to no record"]
    repaired(folder)
    (path,) = (folder / "damaged").glob("records-*.jsonl")
    assert json.loads(path.read_text())["seq"] == 77
    assert check(folder).sound
    assert stored_values(folder) == ALL


def test_a_text_that_is_no_text_any_more_is_damage_and_hides_nothing_else(folder: Path) -> None:
    tamper(database(folder), "UPDATE record SET camera = CAST(x'6eff72' AS TEXT) WHERE seq = 9")
    (damaged,) = check(folder).gallery.damaged_records
    assert damaged.id == LONE.id
    repaired(folder)
    assert stored_values(folder) == {id_: ALL[id_] for id_ in IDS if id_ != LONE.id}


@pytest.mark.parametrize("column", ["identity", "camera", "source", "content", "id", "fingerprint"])
def test_what_an_index_still_knows_rebuilds_a_record(folder: Path, column: str) -> None:
    """A flipped bit in the table's page, not in the index's."""
    flip_in_table(database(folder), column, seq=9)
    found = check(folder)
    assert found.database
    assert [one.seq for one in found.gallery.damaged_records] == [9]
    repair = repaired(folder)
    assert repair.enrol_again == []
    assert stored_values(folder) == ALL
    assert check(folder).sound


def flip_in_table(path: Path, column: str, seq: int) -> None:
    """Changes a column in the table alone: SQLite maintains no index that its schema does not name for a moment."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        value = connection.execute(f"SELECT {column} FROM record WHERE seq = {seq}").fetchone()[0].encode()
        id_ = connection.execute(f"SELECT id FROM record WHERE seq = {seq}").fetchone()[0].encode()
        media_type = b"image/png"
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    # The row in the table is where the id is followed by the content and the media type.
    starts = [i for i in range(len(data)) if data.startswith(id_, i) and data.startswith(media_type, i + 32 + 64)]
    (row,) = starts
    place = data.index(value, row)
    data[place] ^= 1
    path.write_bytes(data)


def test_a_missing_image_is_taken_back_from_the_trash(folder: Path) -> None:
    throw_into_trash(folder, LONE.content)
    (lost,) = check(folder).gallery.lost_images
    assert (lost.content, lost.problem, lost.in_trash) == (LONE.content, "missing", True)
    assert lost.records == [(LONE.id, LONE.fields.source)]
    assert repaired(folder).enrol_again == []
    assert check(folder).sound
    assert image_path(folder, LONE.content).read_bytes() == FRAMES[LONE.content]


def test_a_damaged_image_is_replaced_from_the_trash_and_kept_beside(folder: Path) -> None:
    throw_into_trash(folder, LONE.content, copy=True)
    image_path(folder, LONE.content).write_bytes(b"damaged")
    (lost,) = check(folder).gallery.lost_images
    assert (lost.problem, lost.in_trash) == ("damaged", True)
    repaired(folder)
    assert check(folder).sound
    assert image_path(folder / "damaged", LONE.content).read_bytes() == b"damaged"


@pytest.mark.parametrize("data", [None, b"", b"other", FRAMES[LONE.content][:-1], FRAMES[LONE.content] + b"\0"])
def test_an_image_that_is_lost_is_left_to_the_user(folder: Path, data: bytes | None) -> None:
    path = image_path(folder, LONE.content)
    path.unlink() if data is None else path.write_bytes(data)
    (lost,) = check(folder).gallery.lost_images
    assert lost.problem == ("missing" if data is None else "damaged")
    assert repaired(folder).enrol_again == [(LONE.id, LONE.fields.source)]
    assert not path.exists()
    assert stored_values(folder) == ALL
    (lost,) = check(folder).gallery.lost_images
    assert lost.problem == "missing"


def test_both_records_of_a_frame_are_named(folder: Path) -> None:
    image_path(folder, RECORDS[1].content).unlink()
    (lost,) = check(folder).gallery.lost_images
    assert lost.records == [(RECORDS[1].id, "frame.jpg"), (RECORDS[2].id, "frame.jpg")]


def test_a_stray_image_is_no_damage_but_a_damaged_one_is(folder: Path) -> None:
    with closing(SqliteRecordStore(database(folder))) as store, store.transaction() as writer:
        writer.delete([9])
    found = check(folder)
    assert found.sound
    assert found.gallery.strays == [LONE.content]
    image_path(folder, LONE.content).write_bytes(b"damaged")
    found = check(folder)
    assert not found.sound
    assert found.gallery.damaged_strays == [LONE.content]
    repaired(folder)
    assert check(folder).sound


def test_what_is_not_the_gallerys_stays(folder: Path) -> None:
    unfinished = image_path(folder, LONE.content).with_suffix(".tmp")
    unfinished.write_bytes(b"half")
    (folder / "images" / "notes.txt").write_text("mine")
    misplaced = folder / "images" / "zz" / LONE.content
    misplaced.parent.mkdir()
    misplaced.write_bytes(FRAMES[LONE.content])
    found = check(folder)
    assert found.sound
    assert found.unfinished == [unfinished]
    assert found.foreign == [folder / "images" / "notes.txt", misplaced]
    repair_folder(folder, found)
    assert not unfinished.exists()
    assert misplaced.exists()
    assert (folder / "images" / "notes.txt").exists()


def test_a_damaged_file_in_the_trash_is_set_aside(folder: Path) -> None:
    path = trash_path(folder, TRASHED.content)
    path.write_bytes(b"damaged")
    assert check(folder).trash == [path]
    repaired(folder)
    assert check(folder).sound
    assert (folder / "damaged" / path.relative_to(folder)).read_bytes() == b"damaged"


def test_an_older_number_is_never_given_again(folder: Path) -> None:
    tamper(database(folder), "UPDATE sqlite_sequence SET seq = 3")
    assert check(folder).database == ["the last number given to a record is said to be 3, but there is a record 16"]
    repaired(folder)
    with closing(SqliteRecordStore(database(folder))) as store:
        assert store.last_seq == 16
    assert check(folder).sound


@pytest.mark.parametrize(
    "sql", ["DROP INDEX record_camera", "ALTER TABLE record ADD COLUMN extra TEXT", "CREATE INDEX mine ON record (box)"]
)
def test_another_layout_is_found_and_put_right(folder: Path, sql: str) -> None:
    tamper(database(folder), sql)
    assert len(check(folder).database) == 1
    repaired(folder)
    assert check(folder).sound
    assert stored_values(folder) == ALL


Damage = Callable[[bytearray, random.Random], bytearray]


def flip_bit(data: bytearray, rng: random.Random) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def overwrite(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    length = rng.choice([1, 20, 512, 4096])
    data[start : start + length] = rng.randbytes(len(data[start : start + length]))
    return data


def zero_page(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(1, max(2, len(data) // 4096)) * 4096
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    return data


def truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


@pytest.mark.parametrize("num_rounds", [12, pytest.param(400, marks=pytest.mark.trial)])
@pytest.mark.parametrize("damage", [flip_bit, overwrite, zero_page, truncate])
def test_whatever_happens_to_the_database_is_found_and_nothing_intact_is_lost(
    tmp_path: Path, damage: Damage, num_rounds: int
) -> None:
    original = write_gallery(tmp_path / "original")
    rng = random.Random(damage.__name__)
    num_mended = 0
    for number in range(num_rounds):
        folder = tmp_path / str(number)
        for name, data in tree(original).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        database(folder).write_bytes(damage(bytearray(database(original).read_bytes()), rng))
        found = check(folder)
        if found.sound:
            # What was hit was on no page that is used, or has no meaning.
            assert stored_values(folder) == ALL
            continue
        repair = repair_folder(folder, found)
        if repair.unreadable is not None:
            continue
        num_mended += 1
        rest = stored_values(folder)
        assert all(rest[id_] == ALL[id_] for id_ in rest)
        again = check(folder)
        assert again.sound
        # Every record is there, or named, or its image still tells of it.
        named = {id_ for id_, _ in repair.enrol_again}
        unnamed = [one for one in RECORDS if one.id not in rest and one.id not in named]
        assert {one.content for one in unnamed} <= {*again.gallery.strays, RECORDS[1].content}
        assert_opens(folder)
    assert num_mended


@pytest.mark.parametrize("damage", [flip_bit, truncate])
def test_whatever_happens_to_any_other_file_is_found(folder: Path, damage: Damage) -> None:
    rng = random.Random(5)
    for name, data in tree(folder).items():
        if name == "gallery.sqlite":
            continue
        (folder / name).write_bytes(damage(bytearray(data), rng))
        assert not check(folder).sound, name
        (folder / name).write_bytes(data)
    assert check(folder).sound
