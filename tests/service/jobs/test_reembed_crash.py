"""SIGKILL while a gallery is embedded anew, at any moment: it goes on, and ends as if nothing had been."""

import os
import random
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.live_service import LiveService
from index.embedded.data_folder import DATABASE
from index.embedded.generation import current_folder, other_generations
from index.embedded.records.record_reader import RecordReader
from index.gallery.record import Record
from tests.conftest import png
from tests.service.jobs.conftest import create, ended

NUM_BOXES: Final = 8

STEPS: Final = {
    "index.embedded.records.successor.Successor.finish": 0,
    "index.gallery.gallery.Gallery.__init__": 1,
    "index.embedded.generation.Generation.write": 0,
    "service.serving.Serving.exchange": 0,
    "service.jobs.jobs.Jobs.take_kinds": 1,
    "index.embedded.generation.remove_generation": 0,
    "service.kept_checkpoints.KeptCheckpoints.remove_all_but": 1,
}
"""Calls on the way of a cut-over, in their order, and how often the start makes each before.

The process is killed when they begin, and when they have ended.
"""

KILLER: Final = """
import functools, importlib, os, signal

step, when, skip = os.environ["KILL_AT"].split(":")
path, _, name = step.rpartition(".")
try:
    owner = importlib.import_module(path)
except ModuleNotFoundError:
    module, _, class_ = path.rpartition(".")
    owner = getattr(importlib.import_module(module), class_)
original = getattr(owner, name)
calls = 0

@functools.wraps(original)
def killing(*args, **kwargs):
    global calls
    calls += 1
    if calls <= int(skip):
        return original(*args, **kwargs)
    if when == "after":
        original(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, killing)
"""


def write_images(root: Path, num_images: int) -> None:
    """Frames with many boxes each, and a manifest of them."""
    root.mkdir()
    lines = ["path,identity,box"]
    for number in range(num_images):
        (root / f"{number}.png").write_bytes(png(number, 64, 48))
        lines += [f'{number}.png,v{number},"{4 * box},{box},24,24"' for box in range(NUM_BOXES)]
    (root / "m.csv").write_text("\n".join(lines) + "\n")


def fill(checkpoint: Path, folder: Path, root: Path, num_images: int) -> None:
    """A gallery of all images but for one, whose file is lost; and a record that was deleted."""
    with LiveService(checkpoint, folder, import_root=str(root), device="cpu") as service:
        assert ended(service.client, create(service.client, kind="import", path="m.csv"))["state"] == "done"
        records = service.client.get("/gallery", params={"limit": 1000}).json()["records"]
        assert len(records) == num_images * NUM_BOXES
        assert service.client.delete(f"/gallery/{records[-1]['id']}").status_code == 204
    with RecordReader(folder / DATABASE) as reader:
        content = next(record.content for _, record in reader.walk() if isinstance(record, Record))
    (folder / "images" / content[:2] / content).unlink()


def records_of(folder: Path) -> dict[int, tuple[Any, ...]]:
    """By seq, all that a record has besides its embedding."""
    with RecordReader(current_folder(folder) / DATABASE) as reader:
        found = {seq: record for seq, record in reader.walk() if isinstance(record, Record)}
    return {
        seq: (record.id, record.fields, record.model, record.enrolled_at, str(record.box))
        for seq, record in found.items()
    }


def embeddings_of(folder: Path) -> Any:
    with RecordReader(current_folder(folder) / DATABASE) as reader:
        return np.stack([record.embedding for _, record in reader.walk() if isinstance(record, Record)])


def is_equal(folder: Path, undisturbed: Path) -> None:
    """The same records, and embeddings that are the same but for what another batch does to their last digits."""
    assert records_of(folder) == records_of(undisturbed)
    np.testing.assert_allclose(embeddings_of(folder), embeddings_of(undisturbed), atol=1e-4)


def reembedding(service: LiveService) -> Any:
    """The newest job."""
    return service.client.get("/jobs", params={"kind": "reembed", "limit": 1}).json()["jobs"][0]


def said_of(job: Any) -> Any:
    return [job[name] for name in ("state", "done", "total", "rejected", "error", "report")]


def wait_until_tidy(folder: Path) -> None:
    """What served before is removed once nothing reads it any more."""
    end = time.monotonic() + 60
    while other_generations(folder) or len(list((folder / "checkpoints").iterdir())) > 1:
        assert time.monotonic() < end, (other_generations(folder), list((folder / "checkpoints").iterdir()))
        time.sleep(0.05)


class Galleries:
    """Two galleries that go from one model to the other and back: one undisturbed, and one that is killed."""

    def __init__(self, checkpoints: list[Path], tmp_path: Path, num_images: int) -> None:
        self.checkpoints, self.turn = checkpoints, 0
        self.root, self.undisturbed, self.killed = tmp_path / "root", tmp_path / "undisturbed", tmp_path / "killed"
        write_images(self.root, num_images)
        fill(checkpoints[0], self.undisturbed, self.root, num_images)
        shutil.copytree(self.undisturbed, self.killed)

    def next_turn(self) -> tuple[Any, float, LiveService]:
        """What the undisturbed job says, the seconds that it took, and a service for the one that is killed."""
        self.turn = 1 - self.turn
        checkpoint = self.checkpoints[self.turn]
        with LiveService(checkpoint, self.undisturbed, device="cpu") as service:
            start = time.perf_counter()
            said = said_of(ended(service.client, reembedding(service)))
            seconds = time.perf_counter() - start
            assert said[0] == "done"
            wait_until_tidy(self.undisturbed)
        return said, seconds, LiveService(checkpoint, self.killed, device="cpu")

    def compare(self, service: LiveService, said: Any) -> Any:
        """Lets the job end, and returns it."""
        job = ended(service.client, reembedding(service))
        found = said_of(job)
        assert found == said
        assert service.client.get("/model").json()["fingerprint"] == job["report"]["model"]
        wait_until_tidy(self.killed)
        service.stop()
        service.client.close()
        is_equal(self.killed, self.undisturbed)
        return job


def compare_with_undisturbed(
    checkpoints: list[Path], tmp_path: Path, num_images: int, num_rounds: int, seed: int
) -> int:
    """Kills at random moments, once or twice in each round; how many kills came before the job's end."""
    galleries, rng, num_hits = Galleries(checkpoints, tmp_path, num_images), random.Random(seed), 0
    for _ in range(num_rounds):
        said, seconds, service = galleries.next_turn()
        service.start()
        killed_at = []
        for _ in range(rng.randint(1, 2)):
            killer = threading.Timer(rng.uniform(0, 0.8 * seconds), service.kill)
            killer.start()
            killer.join()
            killed_at.append(datetime.now(UTC))
            service.start()
        finished_at = datetime.fromisoformat(galleries.compare(service, said)["finished_at"])
        num_hits += sum(finished_at > moment for moment in killed_at)
    return num_hits


def kill_at(step: str, when: str, galleries: Galleries, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills the process at a step, and lets the next one finish."""
    said, _, service = galleries.next_turn()
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        patch.setenv("KILL_AT", f"{step}:{when}:{STEPS[step]}")
        killed = LiveService(galleries.checkpoints[galleries.turn], galleries.killed, device="cpu")
    killed.start()
    process = killed._process
    assert process is not None
    assert process.wait(120) == -9
    killed.kill()  # closes what belongs to it
    killed.client.close()
    service.start()
    galleries.compare(service, said)


def test_it_ends_as_if_nothing_had_been(small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path) -> None:
    compare_with_undisturbed([small_checkpoint, other_checkpoint], tmp_path, num_images=8, num_rounds=1, seed=3)


@pytest.mark.trial
def test_it_ends_as_if_nothing_had_been_many_times(
    small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoints = [small_checkpoint, other_checkpoint]
    num_kills = compare_with_undisturbed(checkpoints, tmp_path, num_images=20, num_rounds=28, seed=5)
    assert num_kills >= 20


@pytest.mark.trial
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_of_the_cut_over_it_ends_as_if_nothing_had_been(
    small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    galleries = Galleries([small_checkpoint, other_checkpoint], tmp_path, num_images=20)
    for when in ("before", "after"):
        kill_at(step, when, galleries, tmp_path, monkeypatch)
