"""Clients of every kind while everything goes wrong: what was acknowledged is there, and the process does not grow."""

import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.service.jobs.conftest import create, ended
from tests.service.process_size import ProcessSize, size_of
from tests.service.soak.enrolling_client import EnrollingClient
from tests.service.soak.faults import Faults, SoakedService, own_disk
from tests.service.soak.job_client import CAMERA, JobClient, write_import

NUM_CLIENTS: Final = 3
SOAK_S: Final = int(os.environ.get("SOAK_S", "1800"))
"""Of the trial."""


class Soak:
    """Does each of some steps again and again, in a thread of its own. The first error in one of them ends all."""

    def __init__(self, steps: Sequence[Callable[[], None]]) -> None:
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(step,)) for step in steps]
        for thread in self._threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        """Whether something failed."""
        return self._stop.is_set()

    def end(self) -> None:
        """Waits for the step that each is at.

        Raises:
            the first error of a thread.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _repeat(self, step: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                step()
        except BaseException as error:
            self.errors.append(error)
            self._stop.set()


@pytest.mark.parametrize(("soak_s", "most_growth_mb"), [(8, 200), pytest.param(SOAK_S, 60, marks=pytest.mark.trial)])
def test_nothing_is_lost_and_nothing_grows(
    small_checkpoint: Path, tmp_path: Path, soak_s: float, most_growth_mb: float
) -> None:
    rng = random.Random(1)
    disk, failing, imports = tmp_path / "disk", tmp_path / "failing", tmp_path / "imports"
    write_import(imports)
    with ExitStack() as closing:
        is_mounted = closing.enter_context(own_disk(disk))
        service = SoakedService(small_checkpoint, disk / "data", failing, device="cpu", import_root=str(imports))
        closing.enter_context(service)
        faults = Faults(service, failing, disk if is_mounted else None, rng)
        url = str(service.client.base_url)
        clients = [closing.enter_context(EnrollingClient(number, url, faults)) for number in range(NUM_CLIENTS)]
        job_client = closing.enter_context(JobClient(url, faults))
        soak = Soak([*(client.step for client in clients), job_client.step])
        sizes: list[ProcessSize] = []
        try:
            make_faults(faults, soak, rng, soak_s, sizes)
        finally:
            soak.end()
        report(soak_s, faults, clients, job_client, sizes)
        check(service, clients, faults)
        check_growth(sizes, most_growth_mb)
        # What is in memory may say what the disk does not: asked again after a restart.
        assert service.stop() == 0
        service.start()
        check(service, clients, faults)


def make_faults(faults: Faults, soak: Soak, rng: random.Random, soak_s: float, sizes: list[ProcessSize]) -> None:
    """Makes faults at random for so long, each at least once; kills only in the first third, so that a process ages."""
    began = time.monotonic()
    waiting = faults.names(with_kill=True)
    while (time.monotonic() - began < soak_s or waiting) and not soak.is_over:
        if not waiting:
            waiting = faults.names(with_kill=time.monotonic() - began < soak_s / 3)
            rng.shuffle(waiting)
        faults.make(waiting.pop(0), seconds=rng.uniform(0.3, min(soak_s / 20, 3)))
        for _ in range(rng.randrange(1, 4)):
            time.sleep(min(soak_s / 60, 1))
            sizes.append(size_of(faults.service))


def check(service: SoakedService, clients: list[EnrollingClient], faults: Faults) -> None:
    """Every record that must be there is there, nothing else, and no job waits for ever."""
    for client in clients:
        client.check()
    for job in service.client.get("/jobs?limit=1000").json()["jobs"]:
        assert ended(service.client, job, within_s=600)["state"] in ("done", "failed")
    num = {camera["value"]: camera["count"] for camera in service.client.get("/gallery/stats").json()["cameras"]}
    assert "gone in the body" not in num
    for number in range(1, faults.num_ghosts + 1):  # a request is there whole or not at all
        assert num.pop(f"ghost {number}", 0) in (0, 4)
    assert set(num) <= {CAMERA, *(client.name for client in clients)}
    verify = ended(service.client, create(service.client, kind="verify"), within_s=600)
    assert (verify["state"], verify["report"]["sound"]) == ("done", True), verify
    stats = service.client.get("/gallery/stats").json()
    assert stats["total"] == stats["searchable"] == sum(camera["count"] for camera in stats["cameras"])
    assert stats["damaged"] == stats["damaged_images"] == 0


def check_growth(sizes: list[ProcessSize], most_growth_mb: float) -> None:
    """The last process's memory and files, in its last quarter and its second."""
    last = [one for one in sizes if one.process_id == sizes[-1].process_id]
    second, fourth = last[len(last) // 4 : len(last) // 2], last[-max(len(last) // 4, 1) :]
    if not second:
        return
    memory = [statistics.median(one.memory_mb for one in quarter) for quarter in (second, fourth)]
    assert memory[1] - memory[0] < most_growth_mb, memory
    files = [statistics.median(one.num_files for one in quarter) for quarter in (second, fourth)]
    assert files[1] - files[0] < 30, files


def report(
    soak_s: float, faults: Faults, clients: list[EnrollingClient], job_client: JobClient, sizes: list[ProcessSize]
) -> None:
    """What a trial is run for."""
    last = [one for one in sizes if one.process_id == sizes[-1].process_id]
    steps = last[:: max(len(last) // 12, 1)]
    lines = [
        f"{soak_s:.0f} s; faults: {dict(faults.num)}",
        f"requests: {dict(sum((client.num for client in clients), Counter()))}",
        f"jobs: {dict(job_client.num)}",
        f"MB: {[round(one.memory_mb) for one in steps]}, open files: {[one.num_files for one in steps]}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
