"""SIGKILL in the middle of an enrolment: what was acknowledged is there, and nothing is half there."""

import random
import threading
import time
from pathlib import Path

import httpx2
import pytest

from benchmarks.live_service import LiveService
from model.image import decode_image
from tests.conftest import png

NUM_IMAGES = 256


def files(round_: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{i}.png", png(1000 * round_ + i, 40, 30))) for i in range(NUM_IMAGES)]


def kill_rounds(checkpoint: Path, data_dir: Path, rounds: int) -> int:
    """Kills the service at a random moment of an enrolment, round after round; how many answers came."""
    rng = random.Random(3)
    service = LiveService(checkpoint, data_dir)
    service.start()
    start = time.perf_counter()
    answer = service.client.post("/gallery", files=files(0))  # undisturbed, to know how long it takes
    whole_s = time.perf_counter() - start
    acknowledged = {result["id"] for result in answer.json()["results"]}
    num_answered = 0
    for round_ in range(1, rounds + 1):
        start = time.perf_counter()
        killer = threading.Timer(rng.uniform(0, 1.2 * whole_s), service.kill)
        killer.start()
        try:
            answer = service.client.post("/gallery", files=files(round_))
        except httpx2.TransportError:
            pass
        else:
            num_answered += 1
            whole_s = time.perf_counter() - start
            assert answer.json()["enrolled"] == NUM_IMAGES
            acknowledged |= {result["id"] for result in answer.json()["results"]}
        killer.join()

        service.start()
        check(service, data_dir, acknowledged)
    service.stop()
    service.client.close()
    return num_answered


def check(service: LiveService, data_dir: Path, acknowledged: set[str]) -> None:
    stats = service.client.get("/gallery/stats").json()
    assert stats["total"] == stats["searchable"]
    assert stats["total"] % NUM_IMAGES == 0  # a request is there whole or not at all
    served: dict[str, str] = {}
    cursor: dict[str, str] = {}
    while True:
        page = service.client.get("/gallery", params={"limit": 1000, **cursor}).json()
        served |= {record["id"]: record["image_url"] for record in page["records"]}
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert acknowledged <= served.keys()
    assert len(served) == stats["total"]
    assert stats["num_images"] == stats["total"]
    # What a kill between the files and their commit leaves is kept, and said.
    assert len(list((data_dir / "images").glob("*/*"))) == stats["num_images"] + stats["stray_images"]
    for id_ in random.Random(5).sample(sorted(served), min(20, len(served))):
        image = service.client.get(served[id_]).content
        decode_image(image)
        match = service.client.post("/query", files={"image": image}, data={"top_k": 1}).json()["matches"][0]
        assert match["id"] == id_
        assert match["distance"] < 1e-3


def test_kill_while_enrolling(small_checkpoint: Path, tmp_path: Path) -> None:
    kill_rounds(small_checkpoint, tmp_path / "data", rounds=3)


@pytest.mark.trial
def test_kill_while_enrolling_many_times(small_checkpoint: Path, tmp_path: Path) -> None:
    # Enough rounds that some kills fall before, into and after the commit.
    assert 0 < kill_rounds(small_checkpoint, tmp_path / "data", rounds=40) < 40
