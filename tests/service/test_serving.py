import os
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from service.jobs.running_job import JobInterrupted
from service.serving import Serving


class Part:
    """A worker, a gallery, jobs or pools: notes that it was closed."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    def close(self) -> bool:
        self._log.append(f"{self._name} closed")
        return True

    def stop(self) -> None:
        self._log.append(f"{self._name} stopped")


class FakeEngine:
    """The parts that `Serving` closes; jobs and pools are shared."""

    def __init__(self, name: str, log: list[str], shared: dict[str, Part]) -> None:
        self.worker, self.gallery = Part(f"worker {name}", log), Part(f"gallery {name}", log)
        self.jobs, self.pools = shared["jobs"], shared["pools"]
        self.model = type("Model", (), {"fingerprint": name})


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def engines(log: list[str]) -> list[Any]:
    shared = {name: Part(name, log) for name in ("jobs", "pools")}
    return [FakeEngine(name, log, shared) for name in "AB"]


def serving_of(engine: Any, log: list[str]) -> Serving:
    last = ExitStack()
    last.callback(log.append, "folder released")
    serving = Serving(last)
    serving.begin(engine)
    return serving


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_request_keeps_the_engine_that_it_began_with(engines: list[Any], log: list[str]) -> None:
    serving = serving_of(engines[0], log)
    before = serving.lease()
    closed = threading.Event()
    assert serving.exchange(engines[1], closed.set)
    after = serving.lease()
    assert (before.engine, after.engine, serving.engine) == (engines[0], engines[1], engines[1])
    time.sleep(0.1)
    assert log == []
    assert [serving.has_replaced] == [True]
    before.release()
    before.release()  # twice is the same as once
    assert closed.wait(30)
    assert log == ["worker A closed", "gallery A closed"]
    assert [serving.has_replaced] == [False]
    after.release()
    serving.close()


def test_it_is_closed_when_the_last_of_several_has_ended(engines: list[Any], log: list[str]) -> None:
    serving = serving_of(engines[0], log)
    leases = [serving.lease() for _ in range(3)]
    closed = threading.Event()
    serving.exchange(engines[1], closed.set)
    for lease in leases[:2]:
        lease.release()
    assert leases[2].renew() is engines[1]  # which holds the other one from now on
    assert closed.wait(30)
    assert log == ["worker A closed", "gallery A closed"]
    leases[2].release()
    serving.close()


def test_a_request_that_does_not_end_is_not_waited_for_for_ever(
    engines: list[Any], log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.serving._PATIENCE_S", 0.05)
    serving = serving_of(engines[0], log)
    serving.lease()
    closed = threading.Event()
    serving.exchange(engines[1], closed.set)
    assert closed.wait(30)
    serving.close()


def test_what_serves_is_told_whenever_it_is_exchanged(engines: list[Any], log: list[str]) -> None:
    serving, told = serving_of(engines[0], log), list[Any]()
    serving.publish_to(told.append)
    serving.exchange(engines[1], lambda: None)
    assert told == engines
    serving.close()


def test_closing_closes_all_once_and_releases_the_folder_last(engines: list[Any], log: list[str]) -> None:
    serving = serving_of(engines[0], log)
    serving.lease()  # of a request that hangs
    serving.exchange(engines[1], lambda: log.append("told"))
    assert serving.close()
    assert not serving.exchange(engines[0], lambda: None)
    with pytest.raises(JobInterrupted):
        serving.run(lambda: None)
    time.sleep(0.1)
    assert sorted(log) == sorted(set(log))
    assert {"worker A closed", "gallery A closed", "worker B closed", "gallery B closed", "pools closed"} <= set(log)
    assert log[0] == "jobs stopped"
    assert log[-1] == "folder released"
    assert "told" not in log


def test_what_was_replaced_is_closed_once_where_the_service_is_closed_meanwhile(
    engines: list[Any], log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = serving_of(engines[0], log)
    lease = serving.lease()
    serving.exchange(engines[1], lambda: log.append("told"))

    def stop() -> None:
        """The jobs take a moment, in which the thread of what was replaced goes on."""
        lease.release()
        for thread in threading.enumerate():
            if thread.name == "replaced":
                thread.join(30)

    monkeypatch.setattr(engines[1].jobs, "stop", stop)
    assert serving.close()
    assert (log.count("worker A closed"), log.count("gallery A closed"), "told" in log) == (1, 1, False)
    assert log.index("pools closed") < log.index("gallery A closed")


def test_what_cannot_be_closed_is_logged_and_does_not_count_as_open_for_ever(
    engines: list[Any], log: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving = serving_of(engines[0], log)
    monkeypatch.setattr(engines[0].gallery, "close", lambda: 1 / 0)
    serving.exchange(engines[1], lambda: log.append("told"))
    wait_for(lambda: not serving.has_replaced)
    serving.close()
    (record,) = caplog.records
    assert "A, which served before, could not be closed" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert "told" not in log


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="there are no priorities")
def test_what_is_run_has_the_priority_of_whoever_opened_it(engines: list[Any], log: list[str]) -> None:
    serving, found = serving_of(engines[0], log), list[int]()

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def low() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        found.append(priority())
        found.append(serving.run(priority))

    thread = threading.Thread(target=low)
    thread.start()
    thread.join()
    assert found == [19, priority()]
    with pytest.raises(ZeroDivisionError):
        serving.run(lambda: 1 / 0)
    assert serving.run(lambda: 7) == 7
    serving.close()
