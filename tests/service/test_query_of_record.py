"""`POST /query` with a record of the gallery in place of an image."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.gallery.record import ModelKey
from tests.conftest import png
from tests.service.conftest import enrol, query


def ask(client: TestClient, **form: Any) -> Any:
    """Sends the fields as a multipart form."""
    fields = [
        (name, (None, value))
        for name, values in form.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return client.post("/query", files=fields)


def matches(answer: Any) -> list[tuple[str, float]]:
    return [(match["id"], match["distance"]) for match in answer["matches"]]


def test_it_is_answered_as_its_image_but_without_itself(client: TestClient) -> None:
    metadata = json.dumps([{"identity": "a"}, {"identity": "a"}, {"identity": "b"}, {}, {"camera": "n"}])
    ids = [result["id"] for result in enrol(client, 1, 2, 3, 4, 5, metadata=metadata)["results"]]
    of_image = query(client, 1)
    answer = ask(client, record=ids[0]).json()
    assert [id_ for id_, _ in matches(answer)] == [id_ for id_, _ in matches(of_image) if id_ != ids[0]]
    for id_, distance in matches(answer):
        assert distance == pytest.approx(dict(matches(of_image))[id_], rel=1e-4)
    assert [match["rank"] for match in answer["matches"]] == [1, 2, 3, 4]
    assert (answer["searched"], of_image["searched"]) == (4, 5)
    assert answer["query"]["aligned_view"] == of_image["query"]["aligned_view"]
    assert answer["query"]["theta"] == client.get(f"/gallery/{ids[0]}").json()["theta"]
    assert answer["timing_ms"]["embed"] == 0
    # Its identity's nearest record would otherwise be the record itself, and hide the other one.
    grouped = ask(client, record=ids[0], group_by="identity").json()
    assert ids[1] in dict(matches(grouped))
    for form in ({"expand": "2"}, {"rerank": "k_reciprocal"}):
        refined = ask(client, record=ids[0], **form).json()
        assert sorted(dict(matches(refined))) == sorted(ids[1:])
    assert ask(client, record=ids[0], camera="n").json()["searched"] == 1
    assert ask(client, record=ids[4], camera="n").json()["searched"] == 0
    assert ask(client, record=ids[0], top_k="1", id=ids[:2]).json()["matches"][0]["id"] == ids[1]


def test_what_is_no_question_is_refused(client: TestClient) -> None:
    (id_,) = [result["id"] for result in enrol(client, 1)["results"]]
    both = client.post("/query", files={"image": png(1)}, data={"record": id_})
    assert (both.status_code, both.json()["detail"]) == (
        422,
        "body: give an image (curl: -F image=@FILE) or the id of a record (-F record=ID): both came",
    )
    boxed = ask(client, record=id_, box="0,0,9,9")
    assert (boxed.status_code, "leave out box" in boxed.json()["detail"]) == (422, True)
    for unknown in ("0" * 32, "x", "../" + id_):
        missing = ask(client, record=unknown)
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:sanet:problem:record-not-found")
    assert ask(client, record="").status_code == 422
    assert client.post("/query", data={"record": id_}).status_code == 415


def test_a_record_whose_image_is_lost_is_searched_for_all_the_same(client: TestClient, tmp_path: Path) -> None:
    ids = [result["id"] for result in enrol(client, 1, 2)["results"]]
    whole = ask(client, record=ids[0]).json()
    for path in (tmp_path / "data" / "images").glob("*/*"):
        path.unlink()
    answer = ask(client, record=ids[0]).json()
    assert matches(answer) == matches(whole)
    assert answer["query"] == whole["query"] | {"aligned_view": None}
    assert "there is no aligned view, because the image of the record is lost" in answer["warnings"][-1]


@pytest.mark.parametrize("model", [ModelKey("b" * 64, "float32"), None], ids=["another model", "another precision"])
def test_a_record_of_another_model_is_not_comparable(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, model: ModelKey | None
) -> None:
    (id_,) = [result["id"] for result in enrol(client, 1)["results"]]
    engine: Any = client.app.state.engine  # type: ignore[attr-defined]
    other = model or ModelKey(engine.model.fingerprint, "bf16")
    record = replace(engine.gallery.get(id_), model=other)
    monkeypatch.setattr(engine.gallery, "get", lambda _: record)
    refused = ask(client, record=id_)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:sanet:problem:other-model")
    assert f"by the model {other.fingerprint:.12} in {other.precision}" in refused.json()["detail"]
