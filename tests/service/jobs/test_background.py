import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.embeddings import Embeddings
from service.device import Device, DeviceError
from service.jobs.background import Background, step_back
from service.jobs.opening import open_job_store
from service.jobs.running_job import JobInterrupted, RunningJob

IMAGES = np.zeros((2, 4, 4, 3), np.uint8)
EMBEDDED = Embeddings(np.ones((2, 5), np.float32), np.ones((2, 2, 3), np.float32))


class Worker:
    """Answers each batch with the next of these; and has queries as long as it is told."""

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)
        self.has_queries = False

    def embed_batch(self, images: NDArray[np.uint8], guest: Device | None) -> Future[Embeddings]:
        assert guest is None
        future: Future[Embeddings] = Future()
        answer = next(self._answers)
        if answer is None:
            future.cancel()
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


@pytest.fixture
def job(tmp_path: Path) -> Iterator[RunningJob]:
    with closing(open_job_store(tmp_path)) as store:
        store.create("import", {})
        claimed = store.claim()
        assert claimed is not None
        yield RunningJob(claimed, store, tmp_path)


def embed(job: RunningJob, *answers: Any) -> Embeddings:
    return Background(Worker(*answers)).embed(job, IMAGES)  # type: ignore[arg-type]


def test_a_device_that_fails_for_a_while_fails_no_job(job: RunningJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeviceError, "retry_after_s", 0.001)
    assert embed(job, *[DeviceError("no luck")] * 11, EMBEDDED) is EMBEDDED
    with pytest.raises(DeviceError, match="no luck"):
        embed(job, *[DeviceError("no luck")] * 12, EMBEDDED)


def test_a_worker_that_ends_or_an_interruption_ends_the_job(job: RunningJob) -> None:
    with pytest.raises(JobInterrupted):
        embed(job, None)
    threading.Timer(0.05, job.interrupt).start()
    start = time.monotonic()
    with pytest.raises(JobInterrupted):
        embed(job, DeviceError("tried again in 5 s"), EMBEDDED)
    assert time.monotonic() - start < 4
    with pytest.raises(JobInterrupted):
        embed(job, EMBEDDED)


def test_it_gives_way_to_queries_and_never_for_good(job: RunningJob, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    background = Background(worker)  # type: ignore[arg-type]
    worker.has_queries = True
    background.give_way()  # comes back although there are queries all the time
    monkeypatch.setattr("service.jobs.background._LONGEST_PAUSE_S", 60)
    waited = threading.Event()

    def give_way() -> None:
        background.give_way()
        waited.set()

    threading.Thread(target=give_way, daemon=True).start()
    assert not waited.wait(0.1)
    worker.has_queries = False
    assert waited.wait(5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_a_thread_that_steps_back_goes_behind_the_others_with_all_that_it_starts() -> None:
    found: list[int] = []

    def note() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        step_back()
        note()
        inner = threading.Thread(target=note)
        inner.start()
        inner.join()

    note()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    note()
    before, stepped_back, inner, after = found
    assert stepped_back == inner == min(before + 5, 19)
    assert after == before
