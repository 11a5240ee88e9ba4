"""`POST /query` with several boxes of one frame."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.image import DecodedImage, decode_image
from service.settings import Settings
from service.worker import EmbeddingWorker
from tests.conftest import png
from tests.service.conftest import enrol, serve

FRAME = png(3, 200, 150)
BOXES = ["30,20,60,40", "100,20,60,40", "0,0,200,150", "30,20,60,40"]
OUTSIDE, MALFORMED = "500,500,10,10", "1,2,3"


def ask(client: TestClient, boxes: list[str], **form: Any) -> Any:
    return client.post("/query", files={"image": ("f.png", FRAME)}, data={"box": boxes, **form})


def without_time(answer: Any, box: str | None = None) -> Any:
    expected = {name: value for name, value in answer.items() if name != "timing_ms"}
    return expected if box is None else expected | {"box": box}


def rounded(answer: Any) -> Any:
    """Embeddings of two batches may differ in their last bits."""
    matches = [
        match | {"distance": pytest.approx(match["distance"], rel=1e-3, abs=1e-3)} for match in answer["matches"]
    ]
    ranked = [
        match | {"ranked_by": match["ranked_by"] and pytest.approx(match["ranked_by"], rel=1e-2, abs=1e-2)}
        for match in matches
    ]
    seen = answer["query"]
    theta = [pytest.approx(row, abs=1e-4) for row in seen["theta"]]
    query = seen | {
        "theta": theta,
        "rotation_deg": pytest.approx(seen["rotation_deg"], abs=1e-1),
        "aligned_view": seen["aligned_view"] and seen["aligned_view"][:30],
    }
    return answer | {"matches": ranked, "query": query}


@pytest.mark.parametrize("form", [{}, {"group_by": "identity"}, {"rerank": "k_reciprocal", "expand": "2"}], ids=str)
def test_each_box_is_answered_as_if_it_were_the_only_one(client: TestClient, form: dict[str, str]) -> None:
    enrol(client, *range(6), metadata='[{"identity": "a"}, {"identity": "a"}, {}, {}, {"identity": "b"}, {}]')
    answer = ask(client, BOXES, **form).json()
    assert set(answer) == {"answers", "timing_ms", "warnings"}
    assert [one["box"] for one in answer["answers"]] == BOXES
    for box, found in zip(BOXES, answer["answers"], strict=True):
        alone = ask(client, [box], **form).json()
        view = found["query"]["aligned_view"]
        assert view.startswith("data:image/jpeg;base64,")
        found["query"]["aligned_view"] = view[:30]
        assert found == rounded(without_time(alone, box))
    timing = answer["timing_ms"]
    assert timing["total"] >= timing["decode"] + timing["embed"] + timing["search"] > 0


def test_a_wrong_box_does_not_lose_the_others(client: TestClient) -> None:
    enrol(client, 1, 2)
    answers = ask(client, [OUTSIDE, BOXES[0], MALFORMED, "0,0,0,9", "9" * 150]).json()["answers"]
    assert [sorted(one) == ["box", "error"] for one in answers] == [True, False, True, True, True]
    assert [one["box"] for one in answers] == [OUTSIDE, BOXES[0], MALFORMED, "0,0,0,9", "9" * 100]
    assert len(answers[1]["matches"]) == 2
    for box in (OUTSIDE, MALFORMED, "0,0,0,9"):
        alone = ask(client, [box])
        assert alone.status_code == 422
        said = next(one["error"] for one in answers if one["box"] == box)
        assert said in alone.json()["detail"]


def test_where_every_box_is_wrong_so_is_the_query(client: TestClient) -> None:
    refused = ask(client, [OUTSIDE, MALFORMED])
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:sanet:problem:unusable-box")
    assert refused.json()["detail"].startswith("none of the 2 boxes can be used: the box 500,500,10,10 lies outside")
    assert [one["box"] for one in refused.json()["answers"]] == [OUTSIDE, MALFORMED]
    broken = client.post("/query", files={"image": b"no image"}, data={"box": BOXES})
    assert (broken.status_code, broken.json()["type"]) == (422, "urn:sanet:problem:unusable-image")


def test_its_places_are_given_to_all_boxes_or_to_none(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", max_queries=4)
    workers: list[EmbeddingWorker] = []
    admit = EmbeddingWorker.admit
    admitted: list[tuple[int, bool]] = []

    def counted(self: EmbeddingWorker, num_images: int, *, urgent: bool) -> Any:
        workers[:] = [self]
        admission = admit(self, num_images, urgent=urgent)
        admitted.append((num_images, urgent))
        return admission

    with serve(settings) as client:
        monkeypatch.setattr(EmbeddingWorker, "admit", counted)
        assert ask(client, BOXES[:3]).status_code == 200
        assert ask(client, BOXES * 2).status_code == 200
        # More than all queries may have go among the enrolments.
        assert admitted == [(1, True), (3, True), (1, True), (8, False)]
        with admit(workers[0], 1, urgent=True):
            refused = ask(client, BOXES[:3])
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:sanet:problem:queue-full")
            assert (
                "3 vehicles came and there is room for 2: nothing of the request was done" in refused.json()["detail"]
            )
            assert int(refused.headers["retry-after"]) >= 1
            assert ask(client, BOXES[:2]).status_code == 200
        with admit(workers[0], workers[0].capacity, urgent=False):
            assert ask(client, BOXES * 2).status_code == 429
        assert ask(client, BOXES[:3]).status_code == 200
        assert not workers[0].has_queries


def test_256_boxes_are_answered_in_few_passes(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(client, 1)
    engine: Any = client.app.state.engine  # type: ignore[attr-defined]
    search, num_queries = engine.gallery._index.search, []

    def counted(queries: Any, *arguments: Any) -> Any:
        num_queries.append(len(queries))
        return search(queries, *arguments)

    monkeypatch.setattr(engine.gallery._index, "search", counted)
    boxes = [f"{x},{y},20,20" for x in range(0, 160, 10) for y in range(0, 128, 8)]
    answers = ask(client, boxes, top_k=1).json()["answers"]
    assert [one["box"] for one in answers] == boxes
    assert all(len(one["matches"]) == 1 for one in answers)
    assert num_queries == [64] * 4


def test_a_frame_of_200_vehicles_is_decoded_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    num_decoded = 0

    def counted(data: bytes) -> DecodedImage:
        nonlocal num_decoded
        num_decoded += 1
        return decode_image(data)

    for module in ("service.intake", "index.gallery.intake"):
        monkeypatch.setattr(f"{module}.decode_image", counted)
    boxes = [f"{x},{y},20,20" for x in range(0, 160, 8) for y in range(0, 100, 10)]
    metadata = json.dumps([{"boxes": boxes}])
    enrolled = client.post("/gallery", files=[("images", ("f.png", FRAME))], data={"metadata": metadata})
    assert enrolled.json()["enrolled"] == len(boxes) == 200
    assert num_decoded == 1
    assert len(ask(client, boxes, top_k=1).json()["answers"]) == 200
    assert num_decoded == 2
