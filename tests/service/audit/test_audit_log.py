import asyncio
import logging
import queue
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import TimeoutError as NoConnectionError

from service.audit.audit_log import AuditLog
from service.audit.audit_store import AuditStore, AuditStoreError, Search
from service.audit.entry import Entry


def test_entries_of_many_threads_are_all_there_when_their_futures_are_done(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "data", days=365)

    def write(thread: int) -> None:
        for n in range(25):
            log.write(Entry("query", f"{thread}", facts={"n": n + 1})).result(30)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [(entry.caller, entry.facts["n"]) for entry in log.store().all(Search())]
    assert sorted(written) == [(str(thread), n + 1) for thread in range(4) for n in range(25)]
    for name in "0123":  # each thread's in its order
        assert [n for caller, n in written if caller == name] == list(range(1, 26))
    log.close()


def test_what_waits_is_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    append = AuditStore.append

    def slow(store: AuditStore, entries: list[Entry]) -> None:
        sizes.append(len(entries))
        begun.set()
        assert go_on.wait(30)
        append(store, entries)

    monkeypatch.setattr(AuditStore, "append", slow)
    log = AuditLog(tmp_path, days=365)
    futures = [log.write(Entry("query", "a"))]
    assert begun.wait(30)
    futures += [log.write(Entry("query", "a")) for _ in range(50)]
    go_on.set()
    for future in futures:
        future.result(30)
    assert sizes == [1, 50]
    log.close()


def test_a_request_that_is_broken_off_does_not_take_its_entry_back(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, days=365)

    async def begin() -> None:
        writing = asyncio.ensure_future(asyncio.wrap_future(log.write(Entry("delete", "a"))))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    for _ in range(10):
        asyncio.run(begin())
    log.write(Entry("query", "last")).result(30)
    assert [entry.action for entry in log.store().all(Search())] == ["delete"] * 10 + ["query"]
    log.close()


def test_closing_writes_what_waits_and_makes_no_file_for_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "none", days=365)
    log.close()
    assert not (tmp_path / "none").exists()
    log = AuditLog(tmp_path / "data", days=365)
    for n in range(100):
        log.write(Entry("query", str(n)))
    log.close()
    store = AuditStore(tmp_path / "data" / "audit.sqlite")
    assert len(list(store.all(Search()))) == 100
    store.close()


def test_a_disk_that_refuses_is_an_error_once_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    log = AuditLog(tmp_path / "file", days=365)
    with caplog.at_level(logging.ERROR, "service.audit.audit_log"):
        for _ in range(3):
            with pytest.raises(AuditStoreError, match="cannot be written"):
                log.write(Entry("delete", "a")).result(30)
    assert sum("were not written" in record.message for record in caplog.records) == 1
    log.close()


def test_no_error_of_the_retention_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def fails(*_: object) -> int:
        failed.set()
        raise RuntimeError("a fault of this program")

    monkeypatch.setattr(AuditStore, "remove_before", fails)
    log = AuditLog(tmp_path, days=365)
    log.write(Entry("query", "a")).result(30)
    assert failed.wait(30)
    log.write(Entry("query", "b")).result(30)
    log.close()
    assert "a fault of this program" in caplog.text


def test_closing_does_not_wait_for_room_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hangs(*_: object) -> None:
        begun.set()
        go_on.wait(60)

    monkeypatch.setattr(AuditStore, "append", hangs)
    monkeypatch.setattr("service.audit.audit_log._LAST_ENTRIES_S", 0.1)
    log = AuditLog(tmp_path, days=365)
    log._jobs = queue.Queue(1)
    log.write(Entry("query", "a"))
    assert begun.wait(30)
    log.write(Entry("query", "b"))
    closing = threading.Thread(target=log.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    go_on.set()


def test_a_log_without_a_connection_left_is_an_error_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AuditStore(tmp_path / "audit.sqlite")

    def none_left(*_: object, **__: object) -> None:
        raise NoConnectionError("QueuePool limit reached")

    monkeypatch.setattr(type(store.engine), "connect", none_left)
    with pytest.raises(AuditStoreError, match="QueuePool limit reached"):
        store.page(Search(), 10, None)
    store.close()
