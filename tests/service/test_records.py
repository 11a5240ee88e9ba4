import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.aligned_view import aligned_view
from model.checkpoint import load_checkpoint, save_checkpoint
from model.embedder import Embedder
from model.image import decode_image
from model.preprocessing import Preprocessing
from model.sanet import SANet
from service.settings import Settings
from tests.conftest import picture, png
from tests.service.conftest import as_older_program, enrol, query, serve


def one(client: TestClient, **fields: Any) -> str:
    id_: str = enrol(client, 1, metadata=json.dumps([fields]))["results"][0]["id"]
    return id_


def test_a_record_says_all_that_is_known(client: TestClient) -> None:
    id_ = one(client, identity="a", camera="c", captured_at="2026-05-01T12:00:00.25+02:00", latitude=1, longitude=2)
    record = client.get(f"/gallery/{id_}").json()
    seen = query(client, 1)["query"]
    assert record.pop("enrolled_at").endswith("Z")
    np.testing.assert_allclose(record.pop("theta"), seen["theta"], atol=1e-5)
    assert record.pop("rotation_deg") == pytest.approx(seen["rotation_deg"], abs=1e-3)
    assert record == {
        "id": id_,
        "identity": "a",
        "camera": "c",
        "captured_at": "2026-05-01T10:00:00.250000Z",
        "latitude": 1.0,
        "longitude": 2.0,
        "tags": [],
        "box": "0,0,60,40",
        "mirrored": False,
        "model": seen["model"],
        "precision": "float32",
        "image_url": f"/gallery/{id_}/image",
        "aligned_url": f"/gallery/{id_}/aligned",
        "frame_url": f"/gallery/{id_}/frame",
        "source": "1.png",
        "attributes": {},
    }


def test_the_image_comes_back_byte_for_byte(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).save(buffer, "WEBP")
    id_ = client.post("/gallery", files={"images": ("1", buffer.getvalue())}).json()["results"][0]["id"]
    response = client.get(f"/gallery/{id_}/image")
    assert response.content == buffer.getvalue()
    assert response.headers["content-type"] == "image/webp"


def test_the_image_of_a_box_is_its_crop_and_finds_itself(client: TestClient) -> None:
    frame = png(1, 200, 150)
    metadata = json.dumps([{"boxes": ["30,20,60,40", "100,20,60,40"]}])
    results = client.post("/gallery", files={"images": ("f.png", frame)}, data={"metadata": metadata}).json()["results"]
    response = client.get(f"/gallery/{results[0]['id']}/image")
    np.testing.assert_array_equal(decode_image(response.content).pixels, picture(1, 200, 150)[20:60, 30:90])
    match = client.post("/query", files={"image": ("crop.png", response.content)}).json()["matches"][0]
    assert match["id"] == results[0]["id"]
    assert match["distance"] == pytest.approx(0, abs=1e-4)


def test_the_aligned_view_is_the_one_of_the_embedding(client: TestClient, small_checkpoint: Path) -> None:
    id_ = one(client)
    embedder = Embedder(load_checkpoint(small_checkpoint))
    card, theta = embedder.card, embedder.embed([picture(1)]).theta[0]
    expected = aligned_view(card.preprocessing(picture(1)), theta, card.config, card.preprocessing)
    response = client.get(f"/gallery/{id_}/aligned")
    assert response.headers["content-type"] == "image/jpeg"
    assert np.abs(decode_image(response.content).pixels.astype(int) - expected).mean() < 4


def test_the_aligned_view_of_another_models_record_is_refused_until_it_is_embedded_anew(
    small_checkpoint: Path, small_network: SANet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old theta belongs to another network, whose transform, padding or input the new one need not share."""
    other_checkpoint = tmp_path / "other.safetensors"
    save_checkpoint(other_checkpoint, small_network, Preprocessing(size_px=96), {"trained": False, "data": None})
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        first, second = (result["id"] for result in enrol(client, 1, 2)["results"])
        old = client.get(f"/gallery/{first}/aligned")
        assert old.status_code == 200
    as_older_program(settings, monkeypatch)
    with serve(settings.model_copy(update={"checkpoint": other_checkpoint})) as client:
        for id_ in (first, second):
            assert client.get(f"/gallery/{id_}/image").status_code == 200
            refused = client.get(f"/gallery/{id_}/aligned")
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:sanet:problem:other-model")
            assert f"the record {id_} was embedded by the model" in refused.json()["detail"]
            assert "enrol its image again" in refused.json()["detail"]
            assert client.head(f"/gallery/{id_}/aligned").status_code == 409
        enrol(client, 1)
        new = client.get(f"/gallery/{first}/aligned")
        assert decode_image(new.content).pixels.shape == (96, 96, 3)
        assert new.headers["etag"] != old.headers["etag"]
        assert client.get(f"/gallery/{second}/aligned").status_code == 409


def test_the_aligned_view_of_a_record_in_another_precision_is_drawn(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")
    with serve(settings) as client:
        url = f"/gallery/{one(client)}/aligned"
        old = client.get(url)
    with serve(settings.model_copy(update={"precision": "bf16"})) as client:
        assert client.get(url).content == old.content


def test_pages_visit_every_record_once(client: TestClient) -> None:
    ids = [result["id"] for result in enrol(client, *range(7))["results"]]
    visited: list[str] = []
    parameters: dict[str, Any] = {"limit": 3}
    while True:
        page = client.get("/gallery", params=parameters).json()
        assert page["total"] == 7
        visited += [record["id"] for record in page["records"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert visited == ids


def test_listing_takes_the_same_conditions_as_a_query(client: TestClient) -> None:
    enrol(client, 1, 2, 3, metadata='[{"camera": "a"}, {"camera": "b", "tags": ["x"]}, {"camera": "c"}]')
    page = client.get("/gallery", params={"camera": ["a", "b"]}).json()
    assert [record["camera"] for record in page["records"]] == ["a", "b"]
    assert page["total"] == 2
    assert client.get("/gallery", params={"tag": "x"}).json()["total"] == 1


@pytest.mark.parametrize(
    ("parameters", "said"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=!", "is no cursor"), ("colour=red", "no such field")],
)
def test_a_wrong_listing_is_refused(client: TestClient, parameters: str, said: str) -> None:
    response = client.get(f"/gallery?{parameters}")
    assert response.status_code == 422
    assert said in response.json()["detail"]


def test_stats_count_per_camera_identity_and_model(client: TestClient) -> None:
    enrol(client, 1, 2, 3, metadata='[{"camera": "a", "identity": "x"}, {"camera": "a"}, {}]')
    stats = client.get("/gallery/stats").json()
    assert (stats["total"], stats["searchable"], stats["damaged"], stats["num_images"]) == (3, 3, 0, 3)
    assert stats["cameras"] == [{"value": "a", "count": 2}, {"value": None, "count": 1}]
    assert (stats["num_cameras"], stats["num_identities"]) == (1, 1)
    assert [model["count"] for model in stats["models"]] == [3]


def test_a_change_keeps_what_was_not_sent(client: TestClient) -> None:
    id_ = one(client, identity="a", camera="c", tags=["x"])
    response = client.patch(
        f"/gallery/{id_}", json={"identity": "b", "tags": None, "captured_at": "2026-01-01T00:00:00Z"}
    )
    assert response.status_code == 200
    for record in (response.json(), client.get(f"/gallery/{id_}").json()):
        assert (record["identity"], record["camera"], record["tags"]) == ("b", "c", [])
        assert record["captured_at"] == "2026-01-01T00:00:00Z"
    assert query(client, 1, identity="b")["searched"] == 1
    assert query(client, 1, identity="a")["searched"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"latitude": 1}, "come together"),
        ({"box": "0,0,9,9"}, "box: there is no such field"),
        ({"captured_at": "noon"}, "RFC 3339"),
        ([], "a JSON object was expected"),
    ],
)
def test_a_wrong_change_is_refused(client: TestClient, body: Any, said: str) -> None:
    id_ = one(client, identity="a")
    response = client.patch(f"/gallery/{id_}", json=body)
    assert response.status_code == 422
    assert said in response.json()["detail"]
    assert client.get(f"/gallery/{id_}").json()["identity"] == "a"


def test_a_deleted_record_is_gone_from_everywhere(client: TestClient, tmp_path: Path) -> None:
    kept, gone = (result["id"] for result in enrol(client, 1, 2)["results"])
    assert client.delete(f"/gallery/{gone}").status_code == 204
    assert [match["id"] for match in query(client, 2)["matches"]] == [kept]
    assert client.get("/gallery").json()["total"] == 1
    assert len([path for path in (tmp_path / "data" / "images").rglob("*") if path.is_file()]) == 1
    for method, path in (("GET", ""), ("GET", "/image"), ("GET", "/aligned"), ("PATCH", ""), ("DELETE", "")):
        response = client.request(method, f"/gallery/{gone}{path}", json={} if method == "PATCH" else None)
        assert response.status_code == 404
        assert response.json()["title"] == "Record not found"
        assert gone in response.json()["detail"]


def test_an_identity_is_deleted_as_a_whole(client: TestClient) -> None:
    enrol(client, 1, 2, 3, metadata='[{"identity": "a"}, {"identity": "b"}, {"identity": "a"}]')
    assert client.delete("/gallery", params={"identity": "a"}).json()["deleted"] == 2
    nobody = client.delete("/gallery", params={"identity": "a"}).json()
    assert nobody == {"deleted": 0, "undo_url": None, "undo_until": None}
    assert [record["identity"] for record in client.get("/gallery").json()["records"]] == ["b"]


def test_the_whole_gallery_is_not_deleted_by_omission(client: TestClient) -> None:
    enrol(client, 1)
    assert client.delete("/gallery").status_code == 422
    assert client.delete("/gallery?identity=").status_code == 422
    refused = client.delete("/gallery?identity=a&camera=n")
    said = "expected: 0 records pass these conditions: if they are the ones you mean, add expected=0"
    assert (refused.status_code, refused.json()["detail"]) == (422, said)
    assert client.delete("/gallery?expected=1").status_code == 422
    assert client.patch("/gallery?expected=1", json={"identity": "b"}).status_code == 422
    unknown = client.delete("/gallery?identity=a&colour=red")
    assert (unknown.status_code, unknown.json()["detail"]) == (422, "colour: there is no such field")
    assert client.get("/gallery").json()["total"] == 1


def test_work_that_waits_for_a_write_slows_no_reading_and_no_upload(client: TestClient) -> None:
    ids = [result["id"] for result in enrol(client, *range(50))["results"]]
    engine = client.app.state.engine  # type: ignore[attr-defined]
    large = png(1) + b"\0" * 2_000_000  # more than a form keeps in memory, so that it goes to the disk
    with ThreadPoolExecutor(50) as pool:
        engine.gallery._writing.acquire()
        try:
            writes = [pool.submit(client.delete, f"/gallery/{id_}") for id_ in ids[:44]]
            writes.append(pool.submit(client.patch, f"/gallery/{ids[44]}", json={"camera": "c"}))
            writes.append(pool.submit(client.delete, "/gallery", params={"identity": "nobody"}))
            while engine.pools.write.num_under_way < len(writes):
                time.sleep(0.001)
            assert client.get("/gallery", params={"limit": 1}).json()["total"] == 50
            assert client.get("/gallery/stats").json()["total"] == 50
            for path in ("", "/image", "/aligned"):
                assert client.get(f"/gallery/{ids[0]}{path}").status_code == 200
            assert client.post("/query", files={"image": large}).status_code == 200
            assert not any(write.done() for write in writes)
        finally:
            engine.gallery._writing.release()
        assert [write.result().status_code for write in writes] == [204] * 44 + [200] * 2
    assert client.get("/gallery").json()["total"] == 6


def test_images_are_drawn_for_so_many_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = one(client)
    engine = client.app.state.engine  # type: ignore[attr-defined]
    let_go = threading.Event()
    get = engine.gallery.get

    def slow(id_: str) -> Any:
        let_go.wait(30)
        return get(id_)

    monkeypatch.setattr(engine.gallery, "get", slow)
    monkeypatch.setattr(engine.pools.draw, "_limit", 4)
    with ThreadPoolExecutor(4) as pool:
        drawing = [pool.submit(client.get, f"/gallery/{id_}/{kind}") for kind in ("image", "aligned") * 2]
        while engine.pools.draw.num_under_way < 4:
            time.sleep(0.001)
        for kind in ("image", "aligned"):
            refused = client.get(f"/gallery/{id_}/{kind}")
            assert (refused.status_code, refused.json()["title"]) == (429, "Busy")
            assert refused.json()["type"] == "urn:sanet:problem:busy"
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert client.get("/gallery").json()["total"] == 1  # what is not drawn goes on
        let_go.set()
        assert [answer.result().status_code for answer in drawing] == [200] * 4
    assert client.get(f"/gallery/{id_}/image").status_code == 200


SOME = json.dumps(
    [
        {"identity": "a", "camera": "n"},
        {"identity": "b", "camera": "n"},
        {"identity": "a", "camera": "s"},
        {"identity": "c"},
    ]
)


def identities(client: TestClient) -> dict[str | None, int]:
    return {one["value"]: one["count"] for one in client.get("/gallery/stats").json()["identities"]}


def test_many_records_are_changed_if_they_are_as_many_as_expected(client: TestClient) -> None:
    ids = [result["id"] for result in enrol(client, 1, 2, 3, 4, metadata=SOME)["results"]]

    def change(conditions: dict[str, Any], **fields: Any) -> Any:
        return client.patch("/gallery", params=conditions, json=fields)

    # Two identities become one.
    assert change({"identity": "a", "expected": 2}, identity="b").json() == {"changed": 2}
    assert identities(client) == {"b": 3, "c": 1}
    # A part of one becomes another.
    assert change({"id": [ids[0], ids[1]], "expected": 2}, identity="d").json() == {"changed": 2}
    assert identities(client) == {"b": 1, "c": 1, "d": 2}
    assert query(client, 9, id=[ids[0], ids[2]])["searched"] == 2
    assert [one["id"] for one in client.get("/gallery", params={"id": ids[2:]}).json()["records"]] == ids[2:]
    refused = change({"camera": "n", "expected": 3}, identity="x")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:sanet:problem:other-number")
    assert "3 records were expected to pass the conditions, and 2 do: nothing was done" in refused.json()["detail"]
    without = change({"camera": "n"}, identity="x")
    assert (without.status_code, without.json()["detail"]) == (
        422,
        "expected: 2 records pass these conditions: if they are the ones you mean, add expected=2",
    )
    contradicting = change({"camera": "n", "expected": 2}, latitude=1.0)
    assert (contradicting.status_code, contradicting.json()["type"]) == (422, "urn:sanet:problem:unusable-fields")
    assert change({"camera": "n", "expected": 2}, surprise=1).status_code == 422
    assert identities(client) == {"b": 1, "c": 1, "d": 2}
    assert change({"camera": "n", "expected": 2}, camera=None, tags=["x"]).json() == {"changed": 2}
    assert client.get("/gallery", params={"tag": "x"}).json()["total"] == 2
    assert client.delete("/gallery", params={"id": ids[:3], "expected": 2}).status_code == 409
    assert client.delete("/gallery", params={"id": ids[:3], "expected": 3}).json()["deleted"] == 3
    assert identities(client) == {"c": 1}


def test_a_deletion_is_undone(client: TestClient) -> None:
    ids = [result["id"] for result in enrol(client, 1, 2, 3, 4, metadata=SOME)["results"]]
    before = client.get("/gallery").json()["records"]
    many = client.delete("/gallery", params={"camera": "n", "expected": 2}).json()
    one = client.delete(f"/gallery/{ids[2]}")
    assert (one.status_code, one.content) == (204, b"")
    url = one.headers["link"].removeprefix("<").partition(">")[0]
    assert one.headers["link"] == f'<{url}>; rel="undo"'
    listed = client.get("/gallery/deletions").json()["deletions"]
    assert [(entry["deleted"], entry["undo_url"], entry["undo_until"]) for entry in listed] == [
        (1, url, one.headers["undo-until"]),
        (2, many["undo_url"], many["undo_until"]),
    ]
    assert client.get("/gallery/deletions?limit=1").json()["deletions"] == listed[:1]
    assert client.post(many["undo_url"]).json() == {"restored": 2, "enrolled_again": 0, "lost_images": 0}
    assert client.get("/gallery").json()["records"] == [before[3], before[0], before[1]]
    assert client.get(f"/gallery/{ids[0]}/image").content == png(1)
    again = client.post(many["undo_url"])
    assert (again.status_code, again.json()["type"]) == (409, "urn:sanet:problem:deletion-undone")
    unknown = client.post("/gallery/deletions/x/undo")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:sanet:problem:deletion-not-found")
    enrol(client, 3)
    assert client.post(url).json() == {"restored": 0, "enrolled_again": 1, "lost_images": 0}
    assert client.get("/gallery/deletions").json() == {"deletions": []}


def test_without_time_for_an_undo_a_deletion_is_final(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", undo_s=0)
    with serve(settings) as client:
        id_ = enrol(client, 1)["results"][0]["id"]
        deleted = client.delete(f"/gallery/{id_}")
        assert (deleted.status_code, "link" in deleted.headers) == (204, False)
        enrol(client, 1, metadata='[{"identity": "a"}]')
        assert client.delete("/gallery?identity=a").json() == {"deleted": 1, "undo_url": None, "undo_until": None}
        assert client.get("/gallery/deletions").json() == {"deletions": []}
