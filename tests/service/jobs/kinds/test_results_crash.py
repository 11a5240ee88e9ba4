"""SIGKILL while `match` and `group` write their files: they end as those of jobs that nobody disturbed."""

import csv
import io
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.live_service import LiveService
from tests.conftest import png
from tests.service.jobs.conftest import create, ended, rejections

NUM_IMAGES: Final = 10
JOBS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "match", "path": "unknown.csv", "top_k": 20},
    {"kind": "match", "records": {}, "top_k": 50, "group_by": "identity"},
    {"kind": "group", "records": {}, "max_distance": 1.0},
)


def write_data(root: Path) -> None:
    """Many vehicles for the gallery, and others to look for, some of which cannot be used."""
    known, unknown = [], []
    for number in range(NUM_IMAGES):
        (root / f"{number}.png").write_bytes(png(number, 64, 48))
        known += [f'{number}.png,{number % 7 or ""},"{4 * box},0,24,24"' for box in range(10)]
        unknown += [f'{number}.png,{number % 5 or ""},"{4 * box},9,24,24"' for box in range(8)]
        unknown += [f"none-{number}.png,,", "too,many,fields,here"] if number % 8 == 0 else []
    for name, lines in (("known", known), ("unknown", unknown)):
        (root / f"{name}.csv").write_text("path,identity,box\n" + "".join(f"{line}\n" for line in lines))


def left_by(service: LiveService, job: Any) -> tuple[Any, list[dict[str, str]], list[float]]:
    """What a job says, the lines of its file but for distances, and the distances."""
    assert job["state"] == "done", job
    report = dict(job["report"])
    (file,) = report.pop("files")
    lines = list(csv.DictReader(io.StringIO(service.client.get(file["url"]).text, newline="")))
    distances = [float(line.pop("distance") or -1) for line in lines]
    said = [job["done"], job["total"], report, rejections(service.client, job)]
    return said, lines, distances


def kill_and_compare(checkpoint: Path, folder: Path, num_kills: int, seed: int) -> int:
    """Kills each job so often, once or twice on its way; how many kills came before a job's end."""
    rng = random.Random(seed)
    (folder / "root").mkdir()
    write_data(folder / "root")
    service = LiveService(checkpoint, folder / "data", device="cpu", import_root=str(folder / "root"))
    service.start()
    ended(service.client, create(service.client, kind="import", path="known.csv"))
    num_hits = 0
    for body in JOBS:
        start = time.perf_counter()
        said, lines, distances = left_by(service, ended(service.client, create(service.client, **body)))
        seconds = time.perf_counter() - start
        assert len(lines) >= 80
        remaining = num_kills
        while remaining > 0:
            job = create(service.client, **body)
            kills_of_job = min(remaining, rng.randint(1, 2))
            remaining -= kills_of_job
            killed_at = []
            for _ in range(kills_of_job):
                killer = threading.Timer(rng.uniform(0, seconds), service.kill)
                killer.start()
                killer.join()
                killed_at.append(datetime.now(UTC))
                service.start()
            job = ended(service.client, job)
            num_hits += sum(datetime.fromisoformat(job["finished_at"]) > moment for moment in killed_at)
            said_again, lines_again, distances_again = left_by(service, job)
            assert said_again == said
            assert lines_again == lines
            # The vehicles of a path are embedded anew, and nobody promises the last digit of that.
            assert distances_again == pytest.approx(distances, rel=1e-4)
    service.stop()
    for of_job in (folder / "data" / "jobs").iterdir():
        assert [path.name for path in of_job.iterdir()] == ["results"]
    service.client.close()
    return num_hits


def test_killed_jobs_end_with_the_same_files(small_checkpoint: Path, tmp_path: Path) -> None:
    kill_and_compare(small_checkpoint, tmp_path, num_kills=1, seed=5)


@pytest.mark.trial
def test_jobs_that_are_killed_many_times_end_with_the_same_files(small_checkpoint: Path, tmp_path: Path) -> None:
    assert kill_and_compare(small_checkpoint, tmp_path, num_kills=16, seed=6) >= 20
