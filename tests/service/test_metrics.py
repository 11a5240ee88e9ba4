import asyncio
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import training.evaluate
from index.datasets.manifest import Entry, Role, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from model.box import Box
from model.checkpoint import load_checkpoint, read_card
from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from model.image import decode_image, encode_image
from service.answers import MetricsAnswer
from service.app import create_app
from service.device import DeviceError
from service.engine import Engine
from service.settings import Settings
from service.worker import EmbeddingWorker
from tests.conftest import picture, png
from tests.service.conftest import enrol, query, serve

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
JSON = "application/json"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,/;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

NUM_IDENTITIES = 7
NUM_QUERIES = 2 * NUM_IDENTITIES
NUM_GALLERY = 2 * NUM_IDENTITIES + 1
NUM_IMAGES = NUM_QUERIES + NUM_GALLERY
BATCHES = [8, 8, 8, 5]

EVALUATION = re.compile("sanet_(model|next_model|reembedding|evaluation|cmc|map|minp)_")
"""The series of the evaluation; those of everything else are tested where they are made."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def view(identity: int, number: int) -> NDArray[np.uint8]:
    """The same vehicle seen again: half of it is what all its views share."""
    shared, own = picture(1000 + identity), picture(2000 + 10 * identity + number)
    return ((shared.astype(np.uint16) + own) // 2).astype(np.uint8)


def write_heldout(folder: Path) -> Path:
    """A manifest whose figures are neither 0 nor 1, with all that a manifest can have: boxes, junk, distractors, ..."""
    folder.mkdir(exist_ok=True)
    entries = []
    for identity in range(NUM_IDENTITIES):
        # One gallery image is of the queries' own camera, so that the rule has something to remove.
        kinds: list[tuple[Role, str]] = [("gallery", "east"), ("gallery", "north"), ("query", "north")]
        for number, (role, camera) in enumerate(kinds):
            path = f"{identity}-{number}.png"
            (folder / path).write_bytes(encode_image(view(identity, number), "PNG"))
            entries.append(Entry(path, str(identity), camera, role))
        # One file among the others again and again: it is read once, so that the order of reading is another.
        entries.append(Entry("frame.png", str(identity), "west", "query", box=Box(0, 40 * identity, 60, 40)))
    frame = np.concatenate([view(identity, 3) for identity in range(NUM_IDENTITIES)])
    (folder / "frame.png").write_bytes(encode_image(frame, "PNG"))
    for path in ("distractor.png", "junk.png", "unmatched.png"):
        (folder / path).write_bytes(png(len(path)))
    entries.append(Entry("distractor.png", camera="south", role="distractor"))
    entries.append(Entry("junk.png", camera="south", role="junk"))
    entries.append(Entry("unmatched.png", "nowhere else", "south", "query"))
    manifest = folder / "manifest.csv"
    write_manifest(manifest, entries, Protocol(dataset='held "out"', camera_rule="same_camera"))
    return manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heldout(tmp_path_factory.mktemp("heldout"))


@pytest.fixture(scope="module")
def scored(small_checkpoint: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose evaluation is done."""
    data_dir = tmp_path_factory.mktemp("scored")
    settings = Settings(checkpoint=small_checkpoint, data_dir=data_dir, device="cpu", heldout=manifest)
    with serve(settings) as client:
        assert settled(client)["heldout"]["state"] == "done"
        yield client


@pytest.fixture
def settings(small_checkpoint: Path, manifest: Path, tmp_path: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", heldout=manifest)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def figures(client: TestClient) -> Any:
    response = client.get("/metrics", headers={"Accept": JSON})
    assert (response.status_code, response.headers["Content-Type"]) == (200, JSON)
    return response.json()


def settled(client: TestClient) -> Any:
    """The figures once the evaluation has ended, one way or the other."""
    wait_for(lambda: figures(client)["heldout"]["state"] != "running")
    return figures(client)


def families(response: httpx2.Response) -> list[Metric]:
    assert response.status_code == 200
    openmetrics = response.headers["Content-Type"].startswith("application/openmetrics-text")
    parse = parse_openmetrics if openmetrics else parse_text
    return [family for family in parse(response.text) if EVALUATION.match(f"{family.name}_")]


def samples_of(response: httpx2.Response) -> Samples:
    found = [sample for family in families(response) for sample in family.samples]
    by_key = {sample_key(sample.name, **sample.labels): sample.value for sample in found}
    assert len(by_key) == len(found)
    return by_key


def samples(client: TestClient, accept: str = "text/plain") -> Samples:
    return samples_of(client.get("/metrics", headers={"Accept": accept}))


def sample_key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def unscored_samples(checkpoint: Path, *, total: int, done: int = 0, failed: int = 0) -> Samples:
    """All series of a service that has no figures."""
    model = {"fingerprint": read_card(checkpoint).fingerprint, "precision": "float32", "trained": "false"}
    return {
        sample_key("sanet_model_info", **model): 1,
        sample_key("sanet_evaluation_images"): total,
        sample_key("sanet_evaluation_embedded_images"): done,
        sample_key("sanet_evaluation_failed"): failed,
    }


class HeldNetwork:
    """Holds the thread of the network itself in the evaluation's first batch, until the block is left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        embed_prepared = Embedder.embed_prepared

        def held(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
            if len(images) > 1:  # the engine warms up with one
                self.reached.set()
                self.open.wait(30)
            return embed_prepared(embedder, images)

        monkeypatch.setattr(Embedder, "embed_prepared", held)

    def __enter__(self) -> Self:
        assert self.reached.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()


class HeldEvaluation:
    """Lets the evaluation go from batch to batch only as it is told; the network is free meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._allowed = threading.Semaphore(0)
        embed_batch = EmbeddingWorker.embed_batch

        def held(worker: EmbeddingWorker, images: NDArray[np.uint8], _: None) -> Future[Embeddings]:
            self._allowed.acquire(timeout=30)
            return embed_batch(worker, images)

        monkeypatch.setattr(EmbeddingWorker, "embed_batch", held)

    def allow(self, num_batches: int) -> None:
        self._allowed.release(num_batches)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._allowed.release(1000)


def count_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that go through a network from now on."""
    sizes: list[int] = []
    embed_prepared = Embedder.embed_prepared

    def counted(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
        sizes.append(len(images))
        return embed_prepared(embedder, images)

    monkeypatch.setattr(Embedder, "embed_prepared", counted)
    return sizes


def run_evaluate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Settings, *further: str
) -> dict[str, Any]:
    """What ``python -m training.evaluate --json`` prints."""
    arguments = ["--checkpoint", settings.checkpoint, "--data", settings.heldout, "--device", "cpu", "--json"]
    monkeypatch.setattr(sys, "argv", ["training.evaluate", *map(str, arguments), "--quiet", *further])
    capsys.readouterr()
    assert training.evaluate.main() == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("heldout", "evaluated_at")}


def test_before_the_evaluation_is_done_its_figures_are_absent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldNetwork(monkeypatch)
    with serve(settings) as client, held:
        running = {"state": "running", "num_done": 0, "num_total": NUM_IMAGES, "error": None}
        assert figures(client) == {"heldout": running}
        for accept in ("text/plain", "application/openmetrics-text"):
            assert samples(client, accept) == unscored_samples(settings.checkpoint, total=NUM_IMAGES)
        assert not held.open.is_set()  # it was the network that was held, and the scrapes did not wait for it


def test_progress_is_told_batch_by_batch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = count_batches(monkeypatch)
    held = HeldEvaluation(monkeypatch)
    with serve(settings) as client, held:
        for done in np.cumsum(BATCHES[:-1]).tolist():
            held.allow(1)
            wait_for(lambda done=done: figures(client)["heldout"]["num_done"] == done)  # type: ignore[misc]
            assert figures(client)["heldout"].keys() == {"state", "num_done", "num_total", "error"}
            assert figures(client)["heldout"]["state"] == "running"
            assert samples(client) == unscored_samples(settings.checkpoint, total=NUM_IMAGES, done=done)
        held.allow(1)
        end = {"state": "done", "num_done": NUM_IMAGES, "num_total": NUM_IMAGES, "error": None}
        assert settled(client)["heldout"] == end
    assert batches == [1, *BATCHES]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_figures_are_the_evaluators_to_the_last_digit(
    settings: Settings,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with serve(settings.model_copy(update={"precision": precision})) as client:
        seen = settled(client)
    expected = run_evaluate(monkeypatch, capsys, settings, "--precision", precision)
    after = datetime.now(UTC)
    assert without_time(seen) == without_time(expected)
    assert set(seen) == {*expected, "heldout"}
    assert seen["precision"] == precision
    for result in (seen, expected):
        evaluated_at = datetime.fromisoformat(result["evaluated_at"])
        assert evaluated_at.utcoffset() == timedelta(0)
        assert before <= evaluated_at <= after


def test_the_curve_is_that_of_a_naive_ranking(scored: TestClient, small_checkpoint: Path, manifest: Path) -> None:
    listed = read_manifest(manifest)
    embedder = Embedder(load_checkpoint(small_checkpoint))

    def embedded(role: str) -> list[tuple[Entry, NDArray[np.float64]]]:
        crops = []
        for entry in listed.entries:
            if role in (entry.role, *(["gallery"] if entry.role == "distractor" else [])):
                pixels = decode_image(listed.path_of(entry).read_bytes()).pixels
                crops.append((entry, pixels if entry.box is None else entry.box.cut(pixels)))
        embedding = embedder.embed([crop for _, crop in crops]).embedding.astype(np.float64)
        return [(entry, row) for (entry, _), row in zip(crops, embedding, strict=True)]

    gallery = embedded("gallery")
    ranks = []
    for entry, row in embedded("query"):
        candidates = [
            (float(np.linalg.norm(row - other)), found.identity == entry.identity)
            for found, other in gallery
            if (found.identity, found.camera) != (entry.identity, entry.camera)
        ]
        matches = [match for _, match in sorted(candidates)]
        if any(matches):
            ranks.append(matches.index(True) + 1)

    curve = [float(np.mean([rank <= k for rank in ranks])) for k in range(1, max(ranks) + 1)]
    seen = figures(scored)
    assert len(ranks) == seen["num_queries"] == NUM_QUERIES
    assert seen["cmc_curve"] == pytest.approx(curve, abs=1e-12)
    assert 0 < curve[0] < 1  # else the test could not tell one ranking from another
    assert len(curve) > 3
    assert seen["cmc"] == {str(k): seen["cmc_curve"][min(k, len(curve)) - 1] for k in (1, 5, 10)}
    assert (seen["num_gallery"], seen["num_distractors"], seen["num_junk"]) == (NUM_GALLERY, 1, 1)
    assert seen["num_unmatched"] == 1
    assert (seen["dataset"], seen["camera_rule"]) == ('held "out"', "same_camera")


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text;version=1.0.0", PROMETHEUS_2])
def test_the_text_has_the_figures_of_the_json(scored: TestClient, small_checkpoint: Path, accept: str) -> None:
    seen = figures(scored)
    about = ("dataset", "dataset_fingerprint", "model", "precision", "device", "camera_rule")
    expected = unscored_samples(small_checkpoint, total=NUM_IMAGES, done=NUM_IMAGES)
    for rank in ("1", "5", "10"):
        expected[sample_key("sanet_cmc_ratio", rank=rank)] = seen["cmc"][rank]
    expected |= {
        sample_key("sanet_map_ratio"): seen["map"],
        sample_key("sanet_minp_ratio"): seen["minp"],
        **{
            sample_key("sanet_cmc_interval_ratio", rank="1", bound=bound): value
            for bound, value in zip(("lower", "upper"), seen["intervals"]["cmc1"], strict=True)
        },
        **{
            sample_key("sanet_map_interval_ratio", bound=bound): value
            for bound, value in zip(("lower", "upper"), seen["intervals"]["map"], strict=True)
        },
        sample_key("sanet_evaluation_queries"): NUM_QUERIES,
        sample_key("sanet_evaluation_gallery_images"): NUM_GALLERY,
        sample_key("sanet_evaluation_timestamp_seconds"): datetime.fromisoformat(seen["evaluated_at"]).timestamp(),
        sample_key("sanet_evaluation_info", **{name: seen[name] for name in about}): 1,
    }
    response = scored.get("/metrics", headers={"Accept": accept})
    assert samples_of(response) == expected
    for family in families(response):
        assert family.documentation
        assert family.type in ("gauge", "info")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/*", TEXT),
        ("application/openmetrics-text;version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ("application/json", JSON),
        ("Application/JSON", JSON),
        ("application/json;q=0.5", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/json;q=0.5, text/plain", TEXT),
        ("application/json;q=0.5,text/plain;q=0.4", JSON),
        ("text/plain;q=0.4, application/json;q=0.5", JSON),
        ("application/json;q=0.3, application/openmetrics-text;version=1.0.0;q=0.4", OPENMETRICS),
        ("text/plain, application/json;q=0.5, text/html;q=0.1", TEXT),
        ("application/json, */*;q=0.5", JSON),
        ("application/json;q=0", TEXT),
        ("application/json;q=0, */*", TEXT),
        ("application/json, text/plain, */*", JSON),  # axios
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (BROWSER, TEXT),
        (",;,;;q=,", TEXT),
        ("application/json;q=", TEXT),
        ("application/json;q=high", TEXT),
        ("application/json;q=-1", TEXT),
        ("application/json;q=0.5.5", TEXT),
        ("application/jsonlines, json, nonsense", TEXT),
        ("x" * 10_000, TEXT),
    ],
)
def test_the_client_chooses_the_form(scored: TestClient, accept: str | None, content_type: str) -> None:
    request = scored.build_request("GET", "/metrics", headers={"Accept": accept or ""})
    if accept is None:
        del request.headers["Accept"]
    response = scored.send(request)
    assert response.status_code == 200
    # Of OpenMetrics one may also say how names were escaped.
    assert response.headers["Content-Type"].partition("; escaping=")[0] == content_type
    assert response.headers["Vary"] == "Accept"
    if content_type == JSON:
        assert response.json() == figures(scored)
    else:
        assert sample_key("sanet_cmc_ratio", rank="1") in samples_of(response)


@pytest.mark.parametrize(
    "accept",
    [
        b"application/json;q=\xb2",  # a superscript two: isdigit() says yes, float() says no
        b"application/openmetrics-text;version=latest",
        b"text/plain;version=1.x",
    ],
)
def test_a_malformed_header_is_no_reason_to_fail(scored: TestClient, accept: bytes) -> None:
    # The test client would encode the header anew; this is what comes over a socket.
    async def get() -> httpx2.Response:
        transport = httpx2.ASGITransport(scored.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.get("/metrics", headers=[(b"Accept", accept)])

    response = asyncio.run(get())
    assert response.status_code == 200
    assert response.headers["Content-Type"] in (TEXT, OPENMETRICS)


def test_the_documented_answer_is_the_answer(scored: TestClient) -> None:
    seen = figures(scored)
    assert set(seen) == set(MetricsAnswer.model_fields) - {"calibration"}  # of an uncalibrated model
    assert MetricsAnswer.model_validate(seen).map == seen["map"]
    content = scored.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/plain", "application/openmetrics-text"}


def test_without_a_heldout_set_there_are_no_figures(client: TestClient, small_checkpoint: Path) -> None:
    assert figures(client) == {"heldout": {"state": "absent", "num_done": 0, "num_total": 0, "error": None}}
    for accept in ("text/plain", "application/openmetrics-text"):
        assert samples(client, accept) == unscored_samples(small_checkpoint, total=0)


def test_before_the_service_is_ready_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()

    def fails(*_: object) -> Engine:
        loading.wait(30)
        raise ValueError("no luck")

    monkeypatch.setattr(Engine, "open", fails)
    with TestClient(create_app(settings, lambda _: None)) as client:
        response = client.get("/metrics", headers={"Accept": JSON})
        scraped = client.get("/metrics")
        loading.set()
    assert response.status_code == 503
    assert response.json()["type"] == "urn:sanet:problem:not-ready"
    assert samples_of(scraped) == {}
    assert "sanet_ready 0.0\n" in scraped.text


def test_a_scrape_computes_nothing(scored: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = count_batches(monkeypatch)
    monkeypatch.setattr("service.jobs.kinds.evaluating.evaluate", lambda *_: pytest.fail("evaluated again"))
    assert figures(scored) == figures(scored)
    for accept in ("text/plain", "application/openmetrics-text"):
        assert samples(scored, accept) == samples(scored, accept)
    assert batches == []
    query(scored, 1)
    assert batches == [1]  # so it would have been seen


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "No such file or directory: '{path}'"),
        (
            lambda path: path.write_bytes(b"no image"),
            "{path}: the file is not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image but text",
        ),
        (lambda path: path.write_bytes(png(1)[:200]), "{path}: "),
        (lambda path: path.write_bytes(png(1, 2, 2)), "{path}: "),
    ],
    ids=["missing", "no image", "cut off", "tiny"],
)
def test_an_image_that_cannot_be_used_fails_the_evaluation_alone(
    small_checkpoint: Path, tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    path = write_heldout(tmp_path / "heldout")
    broken = tmp_path / "heldout" / "3-0.png"  # behind the queries, whose batch is done by then
    change(broken)
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", heldout=path)) as client:
        seen = settled(client)
        assert seen.keys() == {"heldout"}
        error = seen["heldout"].pop("error")
        assert said.format(path=broken) in error
        done = 2 * 8  # two whole batches: 14 queries and the first two of the gallery
        assert seen["heldout"] == {"state": "failed", "num_done": done, "num_total": NUM_IMAGES}
        assert samples(client) == unscored_samples(small_checkpoint, total=NUM_IMAGES, done=done, failed=1)
        enrol(client, 1, 2)
        assert query(client, 1)["searched"] == 2


def test_an_evaluation_that_the_network_fails_does_not_fail_the_queries(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_prepared = Embedder.embed_prepared

    def poisoned(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
        if len(images) > 1:
            raise EmbeddingError("not finite")
        return embed_prepared(embedder, images)

    monkeypatch.setattr(Embedder, "embed_prepared", poisoned)
    with serve(settings) as client:
        failed = {"state": "failed", "num_done": 0, "num_total": NUM_IMAGES, "error": "not finite"}
        assert settled(client) == {"heldout": failed}
        enrol(client, 1)
        assert query(client, 1)["searched"] == 1


@pytest.mark.parametrize(("num_failures", "state"), [(2, "done"), (1000, "failed")])
def test_an_evaluation_outlasts_a_device_that_fails_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, num_failures: int, state: str
) -> None:
    embed_prepared = Embedder.embed_prepared
    failures = iter(range(num_failures))

    def fails(embedder: Embedder, images: NDArray[np.uint8]) -> Embeddings:
        if len(images) > 1 and next(failures, None) is not None:
            raise RuntimeError("CUDA error: x\nadvice")
        return embed_prepared(embedder, images)

    monkeypatch.setattr(Embedder, "embed_prepared", fails)
    monkeypatch.setattr(DeviceError, "retry_after_s", 0.01)
    with serve(settings) as client:
        heldout = settled(client)["heldout"]
    assert heldout["state"] == state
    if state == "failed":
        assert heldout["error"] == "the device that embeds failed, and no image is at fault: CUDA error: x"


def answers(client: TestClient) -> list[Any]:
    """What two queries are answered, but for the time they took."""
    return [{name: value for name, value in query(client, seed).items() if name != "timing_ms"} for seed in (101, 102)]


def test_queries_and_evaluation_do_not_change_each_other(
    settings: Settings, scored: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = without_time(figures(scored))
    held = HeldEvaluation(monkeypatch)
    with serve(settings) as client, held:
        for seed in range(5):  # one by one, as every batch has its own last digits
            enrol(client, seed)
        held.allow(1)
        during = answers(client)
        assert figures(client)["heldout"]["state"] == "running"
        held.allow(1000)
        seen = settled(client)
        assert answers(client) == during
    assert without_time(seen) == undisturbed
    with serve(settings.model_copy(update={"heldout": None})) as client:
        assert answers(client) == during
        assert len(during[0]["matches"]) == 5


def test_queries_among_the_evaluations_batches_are_answered_and_alter_no_digit(
    settings: Settings, scored: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = count_batches(monkeypatch)
    network = HeldNetwork(monkeypatch)
    with serve(settings) as client, ThreadPoolExecutor(4) as pool:
        with network:
            waiting = [pool.submit(query, client, seed) for seed in range(4)]
            engine: Engine = client.app.state.engine  # type: ignore[attr-defined]
            wait_for(lambda: len(engine.worker._urgent) == len(waiting))
            assert figures(client)["heldout"]["state"] == "running"
        assert all(future.result(30)["query"]["theta"] for future in waiting)
        assert without_time(settled(client)) == without_time(figures(scored))
    assert batches == [1, 8, 4, 8, 8, 5]


def test_closing_waits_for_the_batch_under_way_and_not_for_the_evaluation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = count_batches(monkeypatch)
    network = HeldNetwork(monkeypatch)
    embed_batch = EmbeddingWorker.embed_batch

    def slow_to_leave(worker: EmbeddingWorker, images: NDArray[np.uint8], _: None) -> Future[Embeddings]:
        if worker._closing:
            time.sleep(0.3)  # a thread that nobody waits for is still there afterwards
        return embed_batch(worker, images)

    monkeypatch.setattr(EmbeddingWorker, "embed_batch", slow_to_leave)
    before = set(threading.enumerate())
    with serve(settings) as client:
        assert network.reached.wait(30)
        engine: Engine = client.app.state.engine  # type: ignore[attr-defined]

        def let_go_when_closing() -> None:
            wait_for(lambda: engine.worker._closing)
            network.open.set()

        watching = threading.Thread(target=let_go_when_closing)
        watching.start()
    watching.join()
    assert batches == [1, 8]
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name in ("heldout", "embedding-worker")]
    assert engine.heldout.status.state == "running"  # it neither failed nor ended
