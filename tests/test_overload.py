"""More than the service can do at once, over real sockets: it refuses what it cannot do, and does what it took."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from benchmarks.live_service import LiveService
from tests.conftest import png

NUM_CLIENTS = 16
NUM_IMAGES = 64
QUEUE_CAPACITY = 512


@pytest.fixture(scope="module")
def service(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    data_dir = tmp_path_factory.mktemp("overload") / "data"
    with LiveService(small_checkpoint, data_dir, queue_capacity=str(QUEUE_CAPACITY), max_batch="4") as service:
        yield service


@pytest.fixture(autouse=True)
def _empty(service: LiveService) -> None:
    while page := service.client.get("/gallery?limit=1000").json()["records"]:
        for record in page:
            service.client.delete(f"/gallery/{record['id']}")


def files(client: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{i}.png", png(NUM_IMAGES * client + i, 20, 16))) for i in range(NUM_IMAGES)]


def test_a_flood_is_refused_in_whole_requests_and_done_in_the_end(service: LiveService) -> None:
    def enrol_patiently(client: int) -> int:
        refused = 0
        while True:
            answer = service.client.post("/gallery", files=files(client))
            if answer.status_code == 201:
                assert answer.json()["enrolled"] == NUM_IMAGES  # nothing of a refused try was stored
                return refused
            assert answer.status_code == 429
            assert answer.headers["content-type"] == "application/problem+json"
            assert "nothing of the request was done" in answer.json()["detail"]
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            refused += 1
            time.sleep(0.2)

    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        refused = sum(clients.map(enrol_patiently, range(NUM_CLIENTS)))
    assert refused > 0
    assert service.client.get("/gallery/stats").json()["searchable"] == NUM_CLIENTS * NUM_IMAGES
    assert full_room(service)


def test_one_image_and_a_batch_are_refused_alike_and_no_query_is(service: LiveService) -> None:
    def fill() -> None:
        # The one image may have the one place that is missing: try again then.
        while (answer := fill_queue(service, seed=1)).status_code == 429:
            time.sleep(0.01)
        assert answer.json()["enrolled"] == QUEUE_CAPACITY

    enrolments, queries = [], []
    with ThreadPoolExecutor(1) as filler:
        filling = filler.submit(fill)
        while not filling.done():
            enrolments.append(service.client.post("/gallery", files={"images": png(2)}))
            queries.append(service.client.post("/query", files={"image": png(2)}))
            time.sleep(0.02)
        filling.result()
    refused = [answer for answer in enrolments if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert [answer.status_code for answer in queries] == [200] * len(queries)
    assert service.client.post("/gallery", files={"images": png(2)}).status_code in (200, 201)


def test_a_client_that_leaves_takes_its_images_along(service: LiveService) -> None:
    for round_ in range(5):
        request = service.client.build_request("POST", "/gallery", files=files(round_))
        body = request.read()
        head = f"POST /gallery HTTP/1.1\r\nHost: x\r\nContent-Type: {request.headers['content-type']}\r\n"
        with socket.create_connection((request.url.host, request.url.port or 80)) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert full_room(service)
    # Whether the last of them was faster than its cancellation or not: a request is there whole or not at all.
    total = service.client.get("/gallery/stats").json()["total"] - QUEUE_CAPACITY
    assert total % NUM_IMAGES == 0
    assert total < 5 * NUM_IMAGES


def test_slow_uploads_block_nobody(service: LiveService) -> None:
    url = service.client.base_url
    head = b"POST /gallery HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    slow = [socket.create_connection((url.host, url.port or 80)) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(head + b"Content-Length: 1000000\r\n\r\n--x\r\n")
        assert service.client.post("/gallery", files=files(1)).json()["enrolled"] == NUM_IMAGES
        answer = service.client.post("/query", files={"image": png(NUM_IMAGES, 20, 16)}, timeout=60)
        assert answer.json()["matches"][0]["distance"] < 1e-3
    finally:
        for connection in slow:
            connection.close()
    assert full_room(service)


def fill_queue(service: LiveService, seed: int) -> httpx2.Response:
    """One request with as many vehicles as the queue holds."""
    boxes = [f"0,0,{10 + i},16" for i in range(QUEUE_CAPACITY)]
    metadata = json.dumps([{"boxes": boxes}])
    return service.client.post("/gallery", files={"images": png(seed, 600, 20)}, data={"metadata": metadata})


def full_room(service: LiveService) -> bool:
    """Whether the queue takes all it can hold, within ten seconds: no place in it was lost."""
    for _ in range(100):
        if fill_queue(service, seed=4242).status_code != 429:
            return True
        time.sleep(0.1)
    return False
