import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from index.gallery.record import content_hash, record_id
from model.box import Box
from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings
from model.image import encode_image
from tests.conftest import picture, png
from tests.service.conftest import enrol, query


def post(client: TestClient, files: list[bytes], metadata: Any = None) -> Any:
    named = [("images", (f"{i}.png", data)) for i, data in enumerate(files)]
    return client.post("/gallery", files=named, data={} if metadata is None else {"metadata": json.dumps(metadata)})


def test_results_come_in_the_order_of_the_files(client: TestClient) -> None:
    files = [png(seed) for seed in range(40)]
    answer = post(client, files)
    assert answer.status_code == 201
    expected = [record_id(content_hash(data), Box(0, 0, 60, 40)) for data in files]
    assert [result["id"] for result in answer.json()["results"]] == expected
    assert [result["filename"] for result in answer.json()["results"]] == [f"{i}.png" for i in range(40)]
    assert answer.json()["enrolled"] == 40
    for seed in (0, 17, 39):
        assert query(client, seed)["matches"][0]["id"] == expected[seed]


def test_one_bad_file_is_rejected_alone(client: TestClient) -> None:
    answer = post(client, [png(1), b"no image", png(2)])
    assert answer.status_code == 201
    body = answer.json()
    assert [result["status"] for result in body["results"]] == ["enrolled", "rejected", "enrolled"]
    assert body["results"][1]["id"] is None
    assert "not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image" in body["results"][1]["detail"]
    assert (body["enrolled"], body["duplicates"], body["rejected"]) == (2, 0, 1)
    assert client.get("/gallery").json()["total"] == 2


def test_the_same_request_twice_changes_nothing(client: TestClient) -> None:
    first = post(client, [png(1), png(2)], [{"identity": "a"}, {"identity": "b", "camera": "north"}])
    again = post(client, [png(1), png(2)], [{"identity": "a"}, {"identity": "c", "tags": ["red"]}])
    assert (first.status_code, again.status_code) == (201, 200)
    results = again.json()["results"]
    assert [result["id"] for result in results] == [result["id"] for result in first.json()["results"]]
    assert [result["detail"] for result in results] == [
        "already enrolled",
        "already enrolled; its own identity, camera, tags stayed as they were",
    ]
    assert {record["identity"] for record in client.get("/gallery").json()["records"]} == {"a", "b"}


def test_the_same_image_twice_in_one_request_is_enrolled_once(client: TestClient) -> None:
    answer = post(client, [png(1), png(1)], [{"identity": "a"}, {"identity": "b"}]).json()
    assert [result["status"] for result in answer["results"]] == ["enrolled", "duplicate"]
    assert "identity" in answer["results"][1]["detail"]
    assert client.get("/gallery").json()["total"] == 1


def test_nothing_but_rejections_is_a_problem_with_results(client: TestClient) -> None:
    answer = post(client, [b"", b"text"])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["title"] == "Every vehicle rejected"
    assert body["detail"] == "0.png: the file is empty: send a JPEG, PNG, WebP, TIFF, HEIC or AVIF image"
    assert [result["status"] for result in body["results"]] == ["rejected", "rejected"]
    assert body["rejected"] == 2


def test_a_frame_gives_one_record_per_box(client: TestClient) -> None:
    boxes = ["0,0,50,40", [60.4, 10, 50, 40], {"box": "0,60,50,40", "identity": "own", "tags": ["x"]}, "300,0,9,9"]
    answer = post(client, [png(1, 200, 150)], [{"identity": "frame", "camera": "north", "boxes": boxes}]).json()
    assert [result["status"] for result in answer["results"]] == ["enrolled"] * 3 + ["rejected"]
    assert [result["box"] for result in answer["results"]] == ["0,0,50,40", "60,10,50,40", "0,60,50,40", "300,0,9,9"]
    assert "outside the image of 200 x 150 pixels" in answer["results"][3]["detail"]
    records = client.get("/gallery").json()["records"]
    assert [record["identity"] for record in records] == ["frame", "frame", "own"]
    assert {record["camera"] for record in records} == {"north"}
    assert client.get("/gallery/stats").json()["num_images"] == 1


def test_a_box_over_the_border_is_clipped(client: TestClient) -> None:
    result = post(client, [png(1, 100, 80)], [{"box": "70,40,31,41"}]).json()["results"][0]
    assert (result["status"], result["box"]) == ("enrolled", "70,40,30,40")


def test_the_whole_image_and_its_box_are_the_same_vehicle(client: TestClient) -> None:
    first = post(client, [png(1)]).json()["results"][0]
    again = post(client, [png(1)], [{"box": "0,0,60,40"}]).json()["results"][0]
    assert again["status"] == "duplicate"
    assert again["id"] == first["id"]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("", "metadata: it is empty"),
        ("{", "metadata: it is not JSON"),
        ("{}", "metadata: a list was expected"),
        ("[]", "metadata has 0 objects for 1 files"),
        ("[{}, {}]", "metadata has 2 objects for 1 files"),
        ('[{"colour": "red"}]', "metadata.0.colour: there is no such field"),
        ('[{"latitude": 91, "longitude": 0}]', "metadata.0.latitude: Input should be less than or equal to 90"),
        ('[{"latitude": NaN, "longitude": 0}]', "metadata: NaN is no number in JSON"),
        ('[{"latitude": 1}]', "latitude and longitude come together"),
        ('[{"captured_at": "2026-05-01"}]', "metadata.0.captured_at: a time is RFC 3339"),
        ('[{"box": "0,0,9,9", "boxes": ["0,0,9,9"]}]', "give box or boxes, not both"),
        ('[{"identity": ""}]', "metadata.0.identity: a name needs at least one visible character"),
        ('[{"identity": "\\ud800"}]', "metadata.0.identity: a name cannot hold control characters"),
        ('[{"identity": "a\\ud800"}]', "metadata.0.identity: a name cannot hold control characters"),
        ('[{"\\ud800": "a"}]', "metadata.0: a text without lone surrogates was expected"),
    ],
)
def test_wrong_metadata_refuse_the_request(client: TestClient, metadata: str, said: str) -> None:
    response = client.post("/gallery", files={"images": ("1.png", png(1))}, data={"metadata": metadata})
    assert response.status_code == 422
    assert said in response.json()["detail"]
    assert client.get("/gallery").json()["total"] == 0


def test_at_most_256_files(client: TestClient) -> None:
    response = post(client, [b"x"] * 257)
    assert response.status_code == 422
    assert "images" in response.json()["detail"]
    assert "256" in response.json()["detail"]


def test_more_vehicles_than_the_queue_can_hold_are_refused(client: TestClient) -> None:
    boxes = [f"0,0,{5 + i},5" for i in range(1000)]
    response = post(client, [png(1, 1100, 20)] * 2, [{"boxes": boxes}, {"boxes": boxes}])
    assert response.status_code == 422
    assert "2000 vehicles in one request, at most 1024" in response.json()["detail"]


def test_an_image_that_the_network_fails_on_is_rejected_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = Embedder.embed_prepared

    def fails_on_black(self: Embedder, images: np.ndarray[Any, np.dtype[np.uint8]]) -> Embeddings:
        if not images.any(axis=(1, 2, 3)).all():
            raise EmbeddingError("black hole")
        return embed(self, images)

    monkeypatch.setattr(Embedder, "embed_prepared", fails_on_black)
    black = np.zeros((40, 60, 3), np.uint8)
    answer = post(client, [png(1), encode_image(black, "PNG"), png(2)]).json()
    assert [result["status"] for result in answer["results"]] == ["enrolled", "rejected", "enrolled"]
    assert "black hole" in answer["results"][1]["detail"]
    assert enrol(client, 3)["enrolled"] == 1


def test_a_device_that_fails_is_nobodys_fault(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Embedder, images: np.ndarray[Any, np.dtype[np.uint8]]) -> Embeddings:
        raise RuntimeError("CUDA error: invalid configuration argument")

    enrol(client, 4)
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "embed_prepared", broken)
        for answer in (post(client, [png(1), png(2)]), client.post("/query", files={"image": png(4)})):
            assert (answer.status_code, answer.json()["title"]) == (503, "Device failed")
            assert int(answer.headers["Retry-After"]) > 0
            assert "no image is at fault" in answer.json()["detail"]
            assert "results" not in answer.json()
    assert client.get("/gallery").json()["total"] == 1
    assert [result["status"] for result in enrol(client, 1, 2)["results"]] == ["enrolled", "enrolled"]


def test_a_query_whose_embedding_is_not_finite_is_refused_as_an_image(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_finite(self: Embedder, images: np.ndarray[Any, np.dtype[np.uint8]]) -> Embeddings:
        raise EmbeddingError("not finite")

    monkeypatch.setattr(Embedder, "embed_prepared", never_finite)
    answer = client.post("/query", files={"image": png(1)})
    assert (answer.status_code, answer.json()["title"]) == (422, "Unusable image")


def test_a_frame_without_vehicles_is_no_error(client: TestClient) -> None:
    answer = post(client, [png(1), png(2)], [{"boxes": []}, {"boxes": ["0,0,20,20"]}])
    assert answer.status_code == 201
    assert [result["filename"] for result in answer.json()["results"]] == ["1.png"]
    empty = post(client, [png(1)], [{"boxes": []}])
    assert (empty.status_code, empty.json()["results"], empty.json()["rejected"]) == (200, [], 0)


def test_a_vehicle_keeps_where_it_came_from(client: TestClient) -> None:
    metadata = [{}, {"source": "flight 3/0042.png", "attributes": {"drone": "M30", "pilot": "Zoë"}}]
    ids = [result["id"] for result in post(client, [png(1), png(2)], metadata).json()["results"]]
    records = [client.get(f"/gallery/{id_}").json() for id_ in ids]
    assert [record["source"] for record in records] == ["0.png", "flight 3/0042.png"]
    assert [record["attributes"] for record in records] == [{}, {"drone": "M30", "pilot": "Zoë"}]
    for conditions, expected in (
        ({"source": "0.png"}, ids[:1]),
        ({"attribute": "drone:M30"}, ids[1:]),
        ({"attribute": ["drone:M30", "pilot:Zoë"]}, ids[1:]),
        ({"attribute": ["drone:M30", "pilot:Max"]}, []),
        ({"attribute": "drone:M3"}, []),
    ):
        listed = client.get("/gallery", params=conditions).json()["records"]
        assert [record["id"] for record in listed] == expected
        matches = query(client, 9, **conditions)["matches"]
        assert [match["id"] for match in matches] == expected
    changed = client.patch(f"/gallery/{ids[0]}", json={"source": None, "attributes": {"a": "b"}}).json()
    assert (changed["source"], changed["attributes"]) == (None, {"a": "b"})
    assert client.patch(f"/gallery/{ids[0]}", json={"attributes": None}).json()["attributes"] == {}


def test_what_is_suspicious_about_a_vehicle_gets_a_word(client: TestClient) -> None:
    metadata = [{}, {"boxes": ["0,0,12,10", "-15,0,60,40", "100,100,60,40"]}]
    answer = post(client, [png(1, 1000, 600), png(2, 200, 150)], metadata).json()
    said = [" ".join(result["warnings"]) for result in answer["results"]]
    assert "the whole image of 1000 x 600 pixels was taken for one vehicle" in said[0]
    assert "the vehicle has only 12 x 10 pixels" in said[1]
    assert "25% of the box -15,0,60,40 lie outside" in said[2]
    assert said[3] == ""
    assert "3 of 4 vehicles have warnings in their results, the first is 0.png" in answer["warnings"][-1]
    asked = client.post("/query", files={"image": png(1, 1000, 600)}).json()
    assert "taken for one vehicle" in asked["warnings"][-1]
    assert len(client.post("/query", files={"image": png(1)}).json()["warnings"]) == 1  # that it is untrained


def test_enrolling_again_restores_a_lost_or_damaged_image(client: TestClient, tmp_path: Path) -> None:
    ids = [result["id"] for result in post(client, [png(1), png(2)]).json()["results"]]
    stored = [path for path in (tmp_path / "data" / "images").rglob("*") if path.is_file()]
    stored[0].unlink()
    stored[1].write_bytes(b"damaged")
    assert [client.get(f"/gallery/{id_}/image").status_code for id_ in ids] == [500, 500]
    assert "2 images are missing or damaged on disk" in query(client, 1)["warnings"][-1]
    again = post(client, [png(1), png(2)]).json()
    assert (again["duplicates"], again["enrolled"]) == (2, 0)
    assert [client.get(f"/gallery/{id_}/image").content for id_ in ids] == [png(1), png(2)]
    assert len(query(client, 1)["warnings"]) == 1


def test_time_and_place_come_from_exif(client: TestClient) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2026:05:01 12:30:00", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "S", 2: (50.0, 30.0, 0.0), 3: "E", 4: (8.0, 15.0, 0.0)})
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).save(buffer, "JPEG", exif=exif)
    id_ = post(client, [buffer.getvalue()]).json()["results"][0]["id"]
    record = client.get(f"/gallery/{id_}").json()
    assert (record["captured_at"], record["latitude"], record["longitude"]) == ("2026-05-01T10:30:00Z", -50.5, 8.25)
    assert query(client, 1, near="-50.5,8.25,10")["searched"] == 1
