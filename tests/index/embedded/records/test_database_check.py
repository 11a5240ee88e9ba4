import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.gallery_check import check_folder
from index.embedded.gallery_repair import repair_folder
from index.embedded.records.database_check import database_problems, log_problem
from tests.index.embedded.stored_gallery import RECORDS, stored_values, tree, write_gallery
from tests.index.records import values

ROOT = Path(__file__).resolve().parents[4]
ALL = {record.id: values(record) for record in RECORDS}

# Commits three times, and is killed before SQLite takes the log over.
KILLED = """
import os, sys
from pathlib import Path
from index.embedded.records.record_store import SqliteRecordStore
from tests.index.embedded.stored_gallery import RECORDS, write_gallery
folder = Path(sys.argv[1])
write_gallery(folder, RECORDS[:10])
store = SqliteRecordStore(folder / "gallery.sqlite")
for one in RECORDS[10:13]:
    with store.transaction() as writer:
        writer.insert(one)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "data"
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    assert (folder / "gallery.sqlite-wal").stat().st_size > 0
    return folder


def problems(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return database_problems(connection, 3)


def test_a_database_of_this_program_has_none(tmp_path: Path) -> None:
    assert problems(write_gallery(tmp_path) / "gallery.sqlite") == []


@pytest.mark.parametrize("table", ["deletion", "deleted_record", "deleted_embedding"])
def test_a_table_of_what_was_deleted_belongs_to_layout_3_alone(tmp_path: Path, table: str) -> None:
    path = write_gallery(tmp_path) / "gallery.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        strange = database_problems(connection, 2)
        assert all("which this program did not make" in problem for problem in strange)
        assert any(f" {table}: " in problem for problem in strange)
        connection.execute(f"DROP TABLE {table}")
        assert problems(path)[0].startswith(f"the database lacks the column {table}: ")


def test_it_can_be_stopped(tmp_path: Path) -> None:
    path = write_gallery(tmp_path) / "gallery.sqlite"
    path.write_bytes(path.read_bytes()[:-8192])
    with closing(sqlite3.connect(path)) as connection:
        assert database_problems(connection, 3, lambda: True) in ([], problems(path))


def test_the_log_of_a_killed_service_is_sound_and_stays_as_it_is(killed: Path) -> None:
    before = tree(killed)
    assert log_problem(killed / "gallery.sqlite") is None
    found = check_folder(killed, lambda *_: None, lambda: False)
    assert found.sound
    assert found.gallery.num_records == 13
    after = tree(killed)
    # What SQLite's processes share of the log is no data.
    assert after.pop("gallery.sqlite-shm")
    before.pop("gallery.sqlite-shm")
    assert after == before


def test_a_log_that_never_got_its_first_commit_is_sound(tmp_path: Path) -> None:
    path = write_gallery(tmp_path) / "gallery.sqlite"
    for data in (b"", bytes(20)):
        path.with_name("gallery.sqlite-wal").write_bytes(data)
        assert log_problem(path) is None


@pytest.mark.parametrize("seed", range(8))
def test_lost_commits_are_found_and_what_is_left_of_the_log_is_kept(killed: Path, tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "data"
    shutil.copytree(killed, folder)
    (folder / "gallery.sqlite-shm").unlink()
    log = folder / "gallery.sqlite-wal"
    data = bytearray(log.read_bytes())
    frame = 24 + int.from_bytes(data[8:12])
    rng = random.Random(seed)
    # Anywhere but in the salts of the last frame alone, by which SQLite tells logs apart.
    place = rng.randrange(32) if seed < 2 else rng.randrange(32, 32 + (len(data) - 32) // frame * frame - frame)
    data[place] ^= 1 << rng.randrange(8)
    log.write_bytes(data)
    found = check_folder(folder, lambda *_: None, lambda: False)
    assert any("write-ahead log is damaged" in problem for problem in found.database)
    repair_folder(folder, found)
    assert (folder / "damaged" / "gallery.sqlite-wal").read_bytes() == bytes(data)
    again = check_folder(folder, lambda *_: None, lambda: False)
    assert again.sound
    rest = stored_values(folder)
    assert {id_: ALL[id_] for id_ in rest} == rest
    # Their images tell which records are lost.
    lost = [record for record in RECORDS[:13] if record.id not in rest]
    assert lost
    assert {record.content for record in lost} <= set(again.gallery.strays)


def test_the_write_that_a_kill_cut_short_is_no_damage(killed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(killed, folder)
    log = folder / "gallery.sqlite-wal"
    size = log.stat().st_size
    os.truncate(log, size - 100)
    assert log_problem(folder / "gallery.sqlite") is None
