"""A real process is killed at any moment; what it acknowledged must be there, whole, and nothing half-done."""

import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from index.embedded.opening import open_gallery
from index.gallery.enrolment import Enrolment
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from tests.index.embedded.enrolling_process import BATCH, DELETED, DIM, batch
from tests.index.records import MODEL, values

ROOT = Path(__file__).resolve().parents[3]
# What the process says, "deleted 7", and what is known from it.
Said = set[tuple[str, int]]


def run_until_killed(folder: Path, first_batch: int, rng: random.Random) -> Said:
    """Everything that the process had said when it was killed: during its start, or at some moment of its work."""
    command = [sys.executable, "-m", "tests.index.embedded.enrolling_process", str(folder), str(first_batch)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        num_lines = rng.choice([0, 1, 2, 3, 5, 8, 13, 21])
        lines = [process.stdout.readline() for _ in range(num_lines)]
        time.sleep(rng.uniform(0, 0.03) if num_lines else rng.uniform(0.1, 0.6))
        process.kill()
        lines += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    return {(what, int(number)) for what, number in (line.split() for line in lines)}


def assert_is_whole(gallery: Gallery, enrolled: Enrolment, cameras: set[str]) -> None:
    """It is served, searched and shown as it was enrolled, with one of these cameras."""
    stored = gallery.get(enrolled.record.id)
    camera = stored.fields.camera
    assert camera in cameras
    fields = replace(enrolled.record.fields, camera=camera)
    assert values(stored) == values(replace(enrolled.record, fields=fields))
    assert gallery.image(stored) == enrolled.read_image()
    (nearest,) = gallery.search(enrolled.record.embedding, 1, Filter()).matches
    assert (nearest.record.id, nearest.distance) == (stored.id, 0.0)


def check_batch(gallery: Gallery, number: int, said: Said) -> None:
    """What was acknowledged is there; of what was under way, each call has had all of its effect or none."""
    enrolments = batch(number)
    present = gallery.known([one.record.id for one in enrolments])
    doomed = {enrolments[i].record.id for i in DELETED} if number % 2 else set()
    if ("enrolled", number) not in said:
        assert len(present) in (0, BATCH)
    elif ("deleted", number) in said:
        assert present.keys() == {one.record.id for one in enrolments} - doomed
    else:
        assert present.keys() >= {one.record.id for one in enrolments} - doomed
    for i, one in enumerate(enrolments):
        if one.record.id in present:
            first_is = {"south"} if ("updated", number) in said else {"north", "south"}
            assert_is_whole(gallery, one, {"north"} if i else first_is)


def check(folder: Path, num_batches: int, said: Said) -> None:
    with closing(open_gallery(folder, MODEL, DIM)) as gallery:
        for number in range(num_batches):
            check_batch(gallery, number, said)
        page = gallery.page(Filter(), 100_000, None)
        assert page.total == len(page.records)
        stats = gallery.stats(0)
        assert (stats.searchable, stats.total, stats.damaged) == (page.total, page.total, 0)
        # An enrolment that was cut short may have left images; they are kept and counted.
        files = {path.name for path in (folder / "images").rglob("*") if path.is_file()}
        named = {record.content for record in page.records}
        assert files >= named
        assert stats.stray_images == len(files - named)
        # What was cut short can be done again.
        last = batch(num_batches - 1)
        was_there = gallery.known([one.record.id for one in last]).keys()
        assert {result.id for result in gallery.enrol(last) if result.duplicate} == was_there
        assert gallery.known([one.record.id for one in last]).keys() == {one.record.id for one in last}


@pytest.mark.parametrize("num_rounds", [3, pytest.param(50, marks=pytest.mark.trial)])
def test_whatever_was_acknowledged_survives_a_kill(tmp_path: Path, num_rounds: int) -> None:
    rng = random.Random(num_rounds)
    said: Said = set()
    num_batches = 0
    for _ in range(num_rounds):
        said |= run_until_killed(tmp_path, num_batches, rng)
        num_batches = max((number for _, number in said), default=-1) + 2
        check(tmp_path, num_batches, said)
        said = {one for one in said if one[1] != num_batches - 1} | {("enrolled", num_batches - 1)}
    assert "updated" in {what for what, _ in said}
