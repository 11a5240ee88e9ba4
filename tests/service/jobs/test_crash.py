"""SIGKILL while a job runs, at any moment: it goes on or begins again, and ends as if nothing had been."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.live_service import LiveService
from index.embedded.backup.parquet_folder import import_folder
from index.embedded.backup.restoring import restore
from tests.conftest import png
from tests.index.embedded.stored_gallery import stored_values
from tests.service.jobs.conftest import create, ended, rejections
from tests.service.test_metrics import write_heldout

NUM_IMAGES: Final = 28
NUM_BOXES: Final = 8
NUM_REJECTED: Final = 8
NUM_ROUNDS: Final = 40
"""Of the trial, with one or two kills of each job."""
ROTTEN: Final = Path("trash", "2026-01-02", "images", "ab", "ab" + 62 * "0")


@dataclass(frozen=True)
class Place:
    """Where a service runs: its data folder, and the folders that its jobs read and write."""

    data: Path
    imports: Path
    exports: Path


Left = Callable[[LiveService, Place, Any], Any]
"""All that a job which has ended left behind, but for times: equal to what an undisturbed one left."""


@dataclass(frozen=True)
class KilledJob:
    """A kind of job that is killed again and again.

    Attributes:
        body: of ``POST /jobs`` in the n-th round, so that there is something to do in each.
        left: beside what the job itself says.
        varies: what of its report may be another after a kill.
    """

    body: Callable[[int], Mapping[str, Any]]
    left: Left
    varies: Sequence[str] = ()


def records_left(service: LiveService, _: Place, __: Any) -> Any:
    """The gallery's records over all pages."""
    records, cursor = [], None
    while True:
        parameters = {"limit": 1000} | ({} if cursor is None else {"cursor": cursor})
        page = service.client.get("/gallery", params=parameters).json()
        records += [(record["id"], record["source"], record["box"], record["identity"]) for record in page["records"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return records


def backup_left(_: LiveService, place: Place, job: Any) -> Any:
    """The records that the backup restores, which are those of the gallery; and how many images it has."""
    restored = place.data.with_name(f"restored-{job['id']}")
    backup = place.exports / job["parameters"]["path"]
    restore(backup, restored, partial=False, progress=lambda *_: None, stop_asked=lambda: False)
    assert stored_values(restored) == stored_values(place.data)
    return sorted(stored_values(restored)), job["report"]["copied"] + job["report"]["kept"]


def export_left(_: LiveService, place: Place, job: Any) -> Any:
    """The records that the export imports, which are those of the gallery."""
    imported = place.data.with_name(f"imported-{job['id']}")
    export = place.exports / job["parameters"]["path"]
    outcome = import_folder(export, imported, lambda *_: None, lambda: False)
    assert not outcome.lost_images
    assert stored_values(imported) == stored_values(place.data)
    assert not [path for path in place.exports.iterdir() if path.name.startswith(".")]
    return sorted(stored_values(imported))


def nothing_left(*_: Any) -> None:
    """The report and the rejections say all."""


JOBS: Final[dict[str, KilledJob]] = {
    "import": KilledJob(lambda n: {"path": f"{n}.csv"}, records_left),
    "evaluate": KilledJob(lambda _: {"data": "heldout"}, nothing_left, ["evaluated_at"]),
    "verify": KilledJob(lambda _: {}, nothing_left),
    "backup": KilledJob(
        # Into an earlier one every other time.
        lambda n: {"path": f"backup-{n // 2}"},
        backup_left,
        ["created_at", "database_sha256", "database_bytes", "copied", "kept"],
    ),
    "export": KilledJob(lambda n: {"path": f"export-{n}"}, export_left),
}
"""Each kind of job; in this order they run one after the other on one gallery, round after round."""


def place_in(folder: Path, num_rounds: int) -> Place:
    """Data for the jobs of so many rounds, and an image that rotted in the trash."""
    place = Place(folder / "data", folder / "imports", folder / "exports")
    for path in (place.imports, place.exports, (place.data / ROTTEN).parent):
        path.mkdir(parents=True)
    write_heldout(place.imports / "heldout")
    for number in range(NUM_IMAGES):
        (place.imports / f"{number}.png").write_bytes(png(number, 64, 48))
    for round_ in range(num_rounds):
        write_manifest(place.imports / f"{round_}.csv", top=round_ % 24, left=round_ // 24)
    (place.data / ROTTEN).write_bytes(b"not what its name says")
    return place


def write_manifest(path: Path, top: int, left: int) -> None:
    """Many boxes in each of some frames, and lines that cannot be used."""
    lines = []
    for number in range(NUM_IMAGES):
        lines += [f'{number}.png,v{number},"{4 * box + left},{top},24,24"' for box in range(NUM_BOXES)]
        if number % 9 == 0:
            lines += [f"{number}.png,too,many,fields", f"none-{number}.png,v,"]
    path.write_text("path,identity,box\n" + "".join(f"{line}\n" for line in lines))


def service_at(place: Place, checkpoint: Path) -> LiveService:
    roots = {"import_root": str(place.imports), "export_root": str(place.exports)}
    return LiveService(checkpoint, place.data, device="cpu", **roots)


def all_that_is_left(service: LiveService, place: Place, kind: str, job: Any) -> Any:
    """All that a job says, and what it did, but for times and what its kind names."""
    said = {name: job[name] for name in ("state", "done", "total", "rejected", "error")}
    report = {name: value for name, value in (job["report"] or {}).items() if name not in JOBS[kind].varies}
    return said, report, rejections(service.client, job), JOBS[kind].left(service, place, job)


class Undisturbed:
    """What each job of each round left where nothing killed it, and how many seconds it took."""

    def __init__(self, checkpoint: Path, folder: Path, kinds: Sequence[str], num_rounds: int) -> None:
        self.left: dict[tuple[int, str], Any] = {}
        self.seconds: dict[tuple[int, str], float] = {}
        place = place_in(folder, num_rounds)
        with service_at(place, checkpoint) as service:
            for round_ in range(num_rounds):
                for kind in kinds:
                    start = time.perf_counter()
                    job = ended(service.client, create(service.client, kind=kind, **JOBS[kind].body(round_)))
                    self.seconds[round_, kind] = time.perf_counter() - start
                    assert job["state"] == "done", job
                    self.left[round_, kind] = all_that_is_left(service, place, kind, job)


def killed_job(service: LiveService, kind: str, round_: int, rng: random.Random, seconds: float) -> tuple[Any, int]:
    """The job once it has ended, killed once or twice on its way, and how many kills came before its end.

    Not more often: three without progress are taken for the job's own fault.
    """
    job = create(service.client, kind=kind, **JOBS[kind].body(round_))
    done, killed_at = 0, []
    for _ in range(rng.randint(1, 2)):
        killer = threading.Timer(rng.uniform(0, seconds), service.kill)
        killer.start()
        killer.join()
        killed_at.append(datetime.now(UTC))
        service.start()
        found = service.client.get(job["url"]).json()
        assert found["done"] >= done  # what was said to be done is never done again
        done = found["done"]
    job = ended(service.client, job)
    finished_at = datetime.fromisoformat(job["finished_at"])
    return job, sum(finished_at > moment for moment in killed_at)


def compare_with_undisturbed(undisturbed: Undisturbed, checkpoint: Path, folder: Path, seed: int) -> dict[str, int]:
    """Runs the same jobs while they are killed; how many kills hit each kind."""
    rng = random.Random(seed)
    place = place_in(folder, max(round_ for round_, _ in undisturbed.left) + 1)
    num_kills = dict.fromkeys((kind for _, kind in undisturbed.left), 0)
    service = service_at(place, checkpoint)
    service.start()
    for (round_, kind), expected in undisturbed.left.items():
        job, num_hits = killed_job(service, kind, round_, rng, undisturbed.seconds[round_, kind])
        assert all_that_is_left(service, place, kind, job) == expected, (round_, kind)
        num_kills[kind] += num_hits
    service.stop()
    assert not list((place.data / "jobs").iterdir())
    service.client.close()
    return num_kills


@pytest.fixture(scope="module")
def undisturbed(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(small_checkpoint, tmp_path_factory.mktemp("undisturbed"), list(JOBS), num_rounds=1)


def test_what_the_undisturbed_jobs_did(undisturbed: Undisturbed) -> None:
    """What the killed ones are compared with: all of it is there, and what cannot be used is rejected."""
    said, report, rejected, records = undisturbed.left[0, "import"]
    assert len(records) == report["enrolled"] == NUM_IMAGES * NUM_BOXES
    assert said["rejected"] == len(rejected) == NUM_REJECTED
    assert undisturbed.left[0, "evaluate"][1]["num_queries"] > 0
    assert [one["name"] for one in undisturbed.left[0, "verify"][2]] == [str(ROTTEN)]
    assert undisturbed.left[0, "backup"][3] == (sorted(record[0] for record in records), NUM_IMAGES)
    assert undisturbed.left[0, "export"][3] == sorted(record[0] for record in records)


def test_jobs_that_are_killed_end_as_if_nothing_had_been(
    undisturbed: Undisturbed, small_checkpoint: Path, tmp_path: Path
) -> None:
    compare_with_undisturbed(undisturbed, small_checkpoint, tmp_path, seed=31)


@pytest.mark.trial
def test_jobs_that_are_killed_many_times_end_as_if_nothing_had_been(small_checkpoint: Path, tmp_path: Path) -> None:
    many = Undisturbed(small_checkpoint, tmp_path / "undisturbed", list(JOBS), NUM_ROUNDS)
    num_kills = compare_with_undisturbed(many, small_checkpoint, tmp_path / "killed", seed=12)
    print(f"kills: {num_kills}")  # noqa: T201 - what a trial is run for
    assert min(num_kills.values()) >= 20
