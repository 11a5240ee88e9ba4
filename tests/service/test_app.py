import inspect
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from index.gallery.gallery import Gallery
from model.checkpoint import read_card
from service.app import create_app
from service.engine import Engine
from service.instruments.instruments import Instruments
from service.settings import Settings
from service.worker import QueueFullError
from tests.conftest import png
from tests.service.conftest import as_older_program, enrol, query, serve


def test_it_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_before_it_is_ready_it_says_so(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(settings: Settings, instruments: Instruments) -> Engine:
        raise ValueError("no luck")

    monkeypatch.setattr(Engine, "open", fails)
    failures: list[Exception] = []
    with TestClient(create_app(Settings(checkpoint=small_checkpoint, data_dir=tmp_path), failures.append)) as client:
        assert client.get("/healthz").status_code == 200
        for response in (client.get("/readyz"), client.post("/query", files={"image": png(1)}), client.get("/model")):
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "2"
            assert response.json()["title"] == "Not ready"
    assert [str(failure) for failure in failures] == ["no luck"]


def test_the_model_card_is_the_checkpoints(client: TestClient, small_checkpoint: Path) -> None:
    card = read_card(small_checkpoint)
    answer = client.get("/model").json()
    assert answer["fingerprint"] == card.fingerprint
    assert answer["embedding_dim"] == 2560
    assert answer["trained"] is False
    assert answer["config"]["backbone"] == "resnet18"
    assert answer["preprocessing"]["size_px"] == 64
    assert (answer["evaluation"], answer["calibration"]) == (None, None)
    assert answer["device"] == "cpu"
    assert answer["runtime"].startswith("torch 2.")


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    missing = client.get("/nowhere")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert missing.json()["detail"] == "there is nothing at /nowhere: GET /docs lists what there is"
    wrong = client.put("/gallery")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, POST")
    assert wrong.json()["detail"] == "/gallery does not take PUT: it takes DELETE, GET, HEAD, PATCH, POST"
    assert wrong.json()["type"] == "urn:sanet:problem:method-not-allowed"


def test_an_unexpected_error_is_a_problem_and_the_service_goes_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "search_many", lambda *_: 1 / 0)
        response = client.post("/query", files={"image": png(1)})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "ZeroDivision" not in response.text
    assert query(client, 1)["searched"] == 0


def test_the_documentation_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    schema = client.get("/openapi.json").json()
    assert {"/query", "/gallery", "/gallery/{id}", "/gallery/stats", "/readyz", "/model"} <= schema["paths"].keys()
    form = schema["components"]["schemas"]["QueryForm"]
    assert form["properties"]["top_k"]["type"] == "integer"
    assert form["additionalProperties"] is False


def test_a_restart_loses_nothing(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        enrolled = enrol(client, *range(5))
        before = query(client, 3)
    with serve(settings) as client:
        after = query(client, 3)
        assert client.get("/gallery").json()["total"] == 5
    assert enrolled["enrolled"] == 5
    assert after["matches"] == before["matches"]
    assert after["query"] == before["query"]


def test_embeddings_of_two_precisions_do_not_mix(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        enrol(client, 1, 2, 3)
    as_older_program(settings, monkeypatch)
    with serve(settings.model_copy(update={"precision": "bf16"})) as client:
        answer = query(client, 1)
        assert answer["searched"] == 0
        assert "3 records were embedded by another model" in answer["warnings"][1]
        assert enrol(client, 1, 2, 3)["enrolled"] == 3
        again = query(client, 1)
        assert again["searched"] == 3
        assert len(again["warnings"]) == 1  # only that it is untrained
        assert client.get("/gallery").json()["total"] == 3


def test_no_error_needs_a_thread_to_be_answered(client: TestClient) -> None:
    handlers = client.app.exception_handlers  # type: ignore[attr-defined]
    assert QueueFullError in handlers
    assert all(inspect.iscoroutinefunction(handler) for handler in handlers.values() if is_ours(handler))


def is_ours(handler: object) -> bool:
    return getattr(handler, "__module__", "").startswith("service.")
