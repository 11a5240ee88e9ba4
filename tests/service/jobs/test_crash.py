"""SIGKILL while a job runs, at any moment: it goes on where it was, and ends as if nothing had been."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live_service import LiveService
from tests.conftest import png
from tests.service.jobs.conftest import create, ended, rejections

NUM_IMAGES = 28
NUM_BOXES = 8
NUM_REJECTED = 8


def write_data(root: Path) -> int:
    """A manifest with many boxes in each of some frames, and with lines that cannot be used; how many lines."""
    root.mkdir()
    lines = []
    for number in range(NUM_IMAGES):
        (root / f"{number}.png").write_bytes(png(number, 64, 48))
        lines += [f'{number}.png,v{number},"{4 * box},0,24,24"' for box in range(NUM_BOXES)]
        if number % 9 == 0:
            lines += [f"{number}.png,too,many,fields", f"none-{number}.png,v,"]
    (root / "m.csv").write_text("path,identity,box\n" + "".join(f"{line}\n" for line in lines))
    return len(lines)


def what_it_left(service: LiveService, job: Any) -> tuple[Any, Any, Any]:
    """All that a job and the gallery say, but for times."""
    records, cursor = [], None
    while True:
        parameters = {"limit": 1000} | ({} if cursor is None else {"cursor": cursor})
        page = service.client.get("/gallery", params=parameters).json()
        records += [(record["id"], record["source"], record["box"], record["identity"]) for record in page["records"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    said = {name: job[name] for name in ("state", "done", "total", "rejected", "error", "report")}
    return said, rejections(service.client, job), records


def run_undisturbed(checkpoint: Path, folder: Path, root: Path) -> tuple[tuple[Any, Any, Any], float]:
    with LiveService(checkpoint, folder, import_root=str(root), device="cpu") as service:
        start = time.perf_counter()
        job = ended(service.client, create(service.client, kind="import", path="m.csv"))
        seconds = time.perf_counter() - start
        return what_it_left(service, job), seconds


def run_killed(
    checkpoint: Path, folder: Path, root: Path, rng: random.Random, seconds: float, num_kills: int
) -> tuple[Any, Any, Any]:
    """Kills the service at random moments of the same import, and lets it finish then."""
    service = LiveService(checkpoint, folder, import_root=str(root), device="cpu")
    service.start()
    job = create(service.client, kind="import", path="m.csv")
    done = 0
    for _ in range(num_kills):
        killer = threading.Timer(rng.uniform(0, 1.5 * seconds / num_kills), service.kill)
        killer.start()
        killer.join()
        service.start()
        found = service.client.get(job["url"]).json()
        assert found["done"] >= done  # what was said to be done is never done again
        done = found["done"]
    left = what_it_left(service, ended(service.client, job))
    assert not list((folder / "jobs").iterdir())
    service.stop()
    service.client.close()
    return left


def compare_with_undisturbed(checkpoint: Path, tmp_path: Path, kills: list[int]) -> None:
    """Each round has its number of kills: below three, as three without progress are taken for the job's own fault."""
    root, rng = tmp_path / "root", random.Random(11)
    num_lines = write_data(root)
    undisturbed, seconds = run_undisturbed(checkpoint, tmp_path / "undisturbed", root)
    said, rejected, records = undisturbed
    assert (said["state"], said["done"], said["rejected"]) == ("done", num_lines, NUM_REJECTED)
    assert len(records) == said["report"]["enrolled"] == NUM_IMAGES * NUM_BOXES
    assert len(rejected) == NUM_REJECTED
    for round_, num_kills in enumerate(kills):
        found = run_killed(checkpoint, tmp_path / f"killed-{round_}", root, rng, seconds, num_kills)
        assert found == undisturbed


def test_a_job_that_is_killed_ends_as_if_nothing_had_been(small_checkpoint: Path, tmp_path: Path) -> None:
    compare_with_undisturbed(small_checkpoint, tmp_path, kills=[2, 1])


@pytest.mark.trial
def test_a_job_that_is_killed_many_times_ends_as_if_nothing_had_been(small_checkpoint: Path, tmp_path: Path) -> None:
    compare_with_undisturbed(small_checkpoint, tmp_path, kills=[2] * 12)
