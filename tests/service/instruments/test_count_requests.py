import asyncio
import random
import string
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.instruments.count_requests import CountRequests
from service.instruments.instruments import Instruments
from tests.conftest import png
from tests.service.conftest import enrol, query
from tests.service.instruments.scraped import key, samples, scrape

Requests = dict[tuple[str, str, str], float]


def requests_of(seen: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> Requests:
    """By route, method and status."""
    found = {}
    for (name, labels), value in seen.items():
        if name == "sanet_http_requests_total":
            of = dict(labels)
            found[of["route"], of["method"], of["status"]] = value
    return found


def counted(before: Requests, after: Requests) -> Requests:
    return {label: value - before.get(label, 0) for label, value in after.items() if value != before.get(label, 0)}


def test_each_request_is_counted_by_template_method_and_status(client: TestClient) -> None:
    before = requests_of(scrape(client))
    id_ = enrol(client, 1)["results"][0]["id"]
    for _ in range(3):
        query(client, 1)
    client.post("/query", files={"image": b"no image"})
    for path in (f"/gallery/{id_}", f"/gallery/{id_}", "/gallery/0123", "/nowhere", "/else"):
        client.get(path)
    client.head(f"/gallery/{id_}/image")
    client.put(f"/gallery/{id_}")
    client.request("BREW", "/query")
    client.delete("/jobs/0123")
    client.post("/query", content=b"", headers={"Content-Length": "999999999999"})
    assert counted(before, requests_of(scrape(client))) == {
        ("/metrics", "GET", "200"): 1,  # the one before; the last is counted once it is answered
        ("/gallery", "POST", "201"): 1,
        ("/query", "POST", "200"): 3,
        ("/query", "POST", "422"): 1,
        ("/gallery/{id}", "GET", "200"): 2,
        ("/gallery/{id}", "GET", "404"): 1,
        ("none", "GET", "404"): 2,
        ("/gallery/{id}/image", "HEAD", "200"): 1,
        ("/gallery/{id}", "PUT", "405"): 1,
        ("/query", "other", "405"): 1,
        ("/jobs/{id}", "DELETE", "404"): 1,
        ("/query", "POST", "413"): 1,
    }


def test_problems_are_counted_by_their_type(client: TestClient) -> None:
    client.get("/gallery/0123")
    client.head("/gallery/0123")
    client.post("/query", content=b"", headers={"Content-Length": "999999999999"})
    client.post("/gallery", files=[("images", b"no image")])
    client.get("/gallery?limit=x")
    seen = scrape(client)
    for problem_type, number in (
        ("record-not-found", 2),
        ("body-too-large", 1),
        ("every-vehicle-rejected", 1),
        ("invalid-request", 1),
        ("queue-full", 0),
    ):
        assert seen[key("sanet_problems_total", type=problem_type)] == number
    assert seen[key("sanet_enrolled_vehicles_total", status="rejected")] == 1


def test_a_query_that_finds_no_room_is_counted_as_a_refusal(client: TestClient) -> None:
    engine = client.app.state.engine  # type: ignore[attr-defined]
    with engine.worker.admit(engine.worker.max_queries, urgent=True):
        full = scrape(client)
        for _ in range(2):
            assert client.post("/query", files={"image": png(1)}).status_code == 429
    seen = scrape(client)
    assert seen[key("sanet_problems_total", type="queue-full")] == 2
    assert seen[key("sanet_http_requests_total", route="/query", method="POST", status="429")] == 2
    assert full[key("sanet_embedding_admitted_images", kind="query")] == 64
    assert seen[key("sanet_embedding_admitted_images", kind="query")] == 0


def test_what_a_client_may_choose_is_no_label(client: TestClient) -> None:
    rng = random.Random(3)
    client.get("/gallery/x")
    client.request("BREW", "/nowhere")
    scrape(client)  # the scrape is a request too
    before = {(name, labels) for name, labels in scrape(client) if name.startswith("sanet_")}
    for number in range(200):
        word = "".join(rng.choices(string.ascii_letters + string.digits + "-._~", k=12))
        path = rng.choice(["/{}", "/gallery/{}", "/{}/x/y", "/gallery/{}?a={}", "/nowhere/{}"]).format(word, word)
        client.request("GET" if number % 4 else f"X{word[:5].upper().replace('.', 'Y').replace('~', 'Z')}", path)
    after = {(name, labels) for name, labels in scrape(client) if name.startswith("sanet_")}
    new = {(name, dict(labels).get("route"), dict(labels).get("status")) for name, labels in after - before}
    # Of a known template another method is refused; nothing else is new, whatever was asked.
    assert {route for _, route, _ in new} <= {"/gallery/{id}", "none", None}
    assert len(after - before) <= 40


def test_histograms_say_how_long_requests_took(client: TestClient) -> None:
    for seed in range(3):
        query(client, seed)
    seen = scrape(client)
    labels = {"route": "/query", "method": "POST"}
    count = seen[key("sanet_http_request_duration_seconds_count", **labels)]
    seconds = seen[key("sanet_http_request_duration_seconds_sum", **labels)]
    stages = [
        seen[key("sanet_stage_duration_seconds_sum", operation="query", stage=stage)]
        for stage in ("decode", "embed", "search")
    ]
    assert count == 3
    assert seen[key("sanet_http_request_duration_seconds_bucket", le="+Inf", **labels)] == 3
    assert 0 < sum(stages) < seconds < 60
    assert all(stage > 0 for stage in stages)


class Answering:
    """An application with one route, which answers as a test wants."""

    def __init__(self, answer: ASGIApp) -> None:
        self.instruments = Instruments()
        self.app = CountRequests(answer, self.instruments, [Route("/things/{id}", PlainTextResponse("x"))])

    def ask(self, method: str = "GET", path: str = "/things/7") -> Requests:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Message) -> None:
            pass

        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        asyncio.run(self.app(scope, receive, send))
        return self.counted()

    def counted(self) -> Requests:
        return requests_of(samples(generate_latest(self.instruments.registry).decode()))


def test_a_client_that_leaves_is_counted_and_not_timed() -> None:
    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    answering = Answering(leaves)
    with pytest.raises(ClientDisconnect):
        answering.ask()
    assert answering.counted() == {("/things/{id}", "GET", "499"): 1}
    text = generate_latest(answering.instruments.registry).decode()
    assert "sanet_http_request_duration_seconds_count{" not in text


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("HEAD", "/things/7", ("/things/{id}", "HEAD")),
        ("POST", "/things/7", ("/things/{id}", "POST")),
        ("GET", "/things/7/8", ("none", "GET")),
        ("PURGE", "/things/7", ("/things/{id}", "other")),
        ("get", "/things/7", ("/things/{id}", "other")),
    ],
)
def test_an_answer_that_no_route_gave_is_counted_at_its_route(
    method: str, path: str, expected: tuple[str, str]
) -> None:
    assert Answering(PlainTextResponse("x", 413)).ask(method, path) == {(*expected, "413"): 1}


def test_what_is_no_request_is_passed_on() -> None:
    seen: list[Any] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    asyncio.run(CountRequests(lifespan, Instruments(), [])({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]
