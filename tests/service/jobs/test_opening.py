import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.jobs.errors import JobStoreError
from service.jobs.opening import open_job_store


@pytest.mark.parametrize(
    "damage", [b"no database at all, but long enough to be read as one" * 100, b"SQLite format 3\0" * 300]
)
def test_a_damaged_file_is_set_aside_and_jobs_can_be_given_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(damage)
    with caplog.at_level(logging.ERROR), closing(open_job_store(tmp_path)) as store:
        job = store.create("import", {})
    assert (tmp_path / "jobs.sqlite.damaged-1").read_bytes() == damage
    assert "its jobs are gone" in caplog.text
    with closing(open_job_store(tmp_path)) as store:
        assert store.get(job.id) == job
    path.write_bytes(damage)
    with closing(open_job_store(tmp_path)):
        pass
    assert (tmp_path / "jobs.sqlite.damaged-2").exists()


def test_a_page_that_rotted_is_found_when_the_store_is_opened(tmp_path: Path) -> None:
    with closing(open_job_store(tmp_path)) as store:
        for number in range(200):
            store.create("import", {"path": "x" * 100}, key=str(number))
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes(4096)
    path.write_bytes(data)
    with closing(open_job_store(tmp_path)) as store:
        assert store.page(10, None).total == 0
    assert (tmp_path / "jobs.sqlite.damaged-1").read_bytes() == data


def test_a_store_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(OSError, match=r"jobs\.sqlite cannot be read or written"):
        open_job_store(tmp_path)


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with closing(open_job_store(tmp_path)) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_full_disk_is_said_and_nothing_is_changed(tmp_path: Path) -> None:
    with closing(open_job_store(tmp_path)) as store:
        job = store.create("import", {})
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        with closing(store._engine.raw_connection()) as pooled:  # the one that is used next
            pooled.cursor().execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JobStoreError, match=r"nothing was changed: .*full"):
            store.create("import", {"path": "x" * 100_000})
        assert [one.id for one in store.page(10, None).jobs] == [job.id]
