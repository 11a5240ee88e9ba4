"""What a form refuses, a query string refuses as well."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tests.conftest import png
from tests.service.conftest import enrol, query

WRONG = [
    ({"identity": ""}, "identity: it is empty"),
    ({"identity": "   "}, "identity: a name needs at least one visible character"),
    ({"identity": "\u200b\u00a0"}, "identity: a name needs at least one visible character"),
    ({"identity": "v" * 201}, "identity: a name has at most 200 characters"),
    ({"identity": "a\u0007"}, "identity: a name cannot hold control characters"),
    ({"identity": ["a", "b"]}, "identity: it is there more than once"),
    ({"near": "1_0,2,3"}, "near: near is lat,lon,radius_m"),
    ({"near": "٥٠,8,500"}, "near: near is lat,lon,radius_m"),
    ({"near": "nan,8,500"}, "near: near is lat,lon,radius_m"),
    ({"near": ["1,2,3", "4,5,6"]}, "near: it is there more than once"),
    ({"captured_after": "2026-05-01"}, "captured_after: a time is RFC 3339"),
    ({"captured_after": "20260501"}, "captured_after: a time is RFC 3339"),
    ({"captured_after": "2026-05-01T25:00:00Z"}, "captured_after: a time is RFC 3339"),
    ({"attribute": "colour"}, "attribute.0: attribute is name:value"),
    ({"attribute": ":red"}, "attribute.0: a name needs at least one visible character"),
    ({"surprise": "1"}, "surprise: there is no such field"),
]
NUMBERS = ["1_0", "٥", "5.0", "+5", "1e1", "0x5", "true", "5 5", " 5"]


@pytest.mark.parametrize(("fields", "said"), WRONG)
def test_a_form_and_a_query_string_refuse_alike(client: TestClient, fields: dict[str, Any], said: str) -> None:
    for answer in (
        client.post("/query", files={"image": png(1)}, data=fields),
        client.get("/gallery", params=fields),
    ):
        assert answer.status_code == 422
        assert said in answer.json()["detail"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_plain_digits_at_every_door(client: TestClient, number: str) -> None:
    form = client.post("/query", files={"image": png(1)}, data={"top_k": number})
    assert (form.status_code, "top_k: a whole number" in form.json()["detail"]) == (422, True)
    for path in ("/gallery", "/gallery/stats"):
        listing = client.get(path, params={"limit": number})
        assert (listing.status_code, "limit: a whole number" in listing.json()["detail"]) == (422, True)


@pytest.mark.parametrize("raw", ["identity=100%", "identity=%zz", "identity=%2"])
def test_a_query_string_is_percent_encoded(client: TestClient, raw: str) -> None:
    answer = client.get(f"/gallery?{raw}")
    assert answer.status_code == 400
    assert "write a % as %25" in answer.json()["detail"]


def test_a_slash_at_the_end_is_another_path(client: TestClient) -> None:
    for answer in (client.post("/query/", files={"image": png(1)}), client.get("/gallery/")):
        assert answer.status_code == 404
        assert "there is nothing at" in answer.json()["detail"]


@pytest.mark.parametrize("raw", ["identity=%ff", "identity=Z%fc", "%ff=a", "identity=%ed%a0%80"])
def test_a_query_string_is_utf8(client: TestClient, raw: str) -> None:
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/gallery?{raw}")
        assert answer.status_code == 400
        assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gallery?limit=5&limit=6", "limit: it is there more than once"),
        ("/gallery?cursor=a&cursor=b", "cursor: it is there more than once"),
        ("/gallery?cursor=", "cursor: it is empty"),
        ("/gallery/stats?limit=1&limit=1", "limit: it is there more than once"),
        ("/gallery/stats?colour=red", "colour: there is no such field"),
        ("/healthz?verbose=1", "verbose: there is no such field"),
        ("/model?precision=bf16", "precision: there is no such field"),
        ("/metrics?name=sanet_map_ratio", "name: there is no such field"),
        ("/gallery?" + "x" * 500 + "=1", "xxx..."),
        ("/gallery/0123?fields=all", "fields: there is no such field"),
        ("/gallery/0123/image?size=9", "size: there is no such field"),
    ],
)
def test_a_query_string_says_each_thing_once(client: TestClient, path: str, said: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_an_identity_to_delete_is_named_once(client: TestClient) -> None:
    enrol(client, 1, 2, metadata='[{"identity": "a"}, {"identity": "b"}]')
    assert client.delete("/gallery?identity=a&identity=b").status_code == 422
    assert client.get("/gallery").json()["total"] == 2


LOOK_ALIKE = [
    ("Zoe\u0308", "Zo\u00eb"),
    ("fault12 ", "fault12"),
    ("\u00a0van 7", "van 7"),
    ("\u212bngström", "Ångström"),
]


@pytest.mark.parametrize(("given", "kept"), LOOK_ALIKE)
def test_names_that_look_alike_are_one(client: TestClient, given: str, kept: str) -> None:
    fields = {"identity": given, "camera": given, "tags": [given], "attributes": {given: given}, "source": given}
    id_ = enrol(client, 1, metadata=json.dumps([fields]))["results"][0]["id"]
    record = client.get(f"/gallery/{id_}").json()
    assert (record["identity"], record["camera"], record["tags"], record["attributes"], record["source"]) == (
        kept, kept, [kept], {kept: kept}, kept,
    )  # fmt: skip
    for name in (given, kept):
        assert client.get(f"/gallery?identity={quote(name)}").json()["total"] == 1
        assert query(client, 1, camera=name, tag=name, attribute=f"{name}:{name}", source=name)["searched"] == 1
    assert client.patch(f"/gallery/{id_}", json={"identity": given}).json()["identity"] == kept
    assert client.delete("/gallery", params={"identity": given}).json()["deleted"] == 1


BOXES: list[tuple[Any, str]] = [
    (True, "metadata.0.box: a box is four numbers"),
    ([True, 0, 9, 9], "metadata.0.box: a box is four numbers"),
    (["0", "0", "9", "9"], "metadata.0.box: a box is four numbers"),
    ({"x": 1}, "metadata.0.box: a box is four numbers"),
    ([0, 0, 9, 9, 9], "metadata.0.box: a box is four numbers"),
]


@pytest.mark.parametrize(("box", "said"), BOXES)
def test_a_box_of_another_kind_is_refused_in_one_sentence(client: TestClient, box: Any, said: str) -> None:
    metadata = json.dumps([{"box": box}])
    answer = client.post("/gallery", files={"images": png(1)}, data={"metadata": metadata})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert ";" not in answer.json()["detail"].removesuffix('"').split("; got")[0]


@pytest.mark.parametrize("box", ["1_0,0,20,20", "٠,0,20,20", "0,0,2e99,20", "0x1,0,20,20", [0, 0, 0, 0], "nan,0,9,9"])
def test_a_box_of_wrong_numbers_rejects_its_vehicle_alone(client: TestClient, box: Any) -> None:
    metadata = json.dumps([{"boxes": [box, "0,0,20,20"]}])
    answer = client.post("/gallery", files={"images": png(1)}, data={"metadata": metadata}).json()
    assert [result["status"] for result in answer["results"]] == ["rejected", "enrolled"]


def test_errors_in_metadata_name_their_place(client: TestClient) -> None:
    for metadata, said in (
        (
            [{"boxes": ["0,0,9,9", {"box": "0,0,9,9", "identity": 5}]}],
            "metadata.0.boxes.1.identity: a text was expected",
        ),
        ([{"boxes": [{"identity": "a"}]}], "metadata.0.boxes.0.box: this field is required"),
        ([{"tags": ["a"] * 65}], "metadata.0.tags: a vehicle has at most 64 tags, not 65"),
        ([{"attributes": {str(i): "a" for i in range(33)}}], "at most 32 attributes, not 33"),
        ([None], "metadata.0: a JSON object was expected"),
        ({"identity": "a"}, "metadata: a list was expected"),
    ):
        answer = client.post("/gallery", files={"images": png(1)}, data={"metadata": json.dumps(metadata)})
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
    broken = client.post("/gallery", files={"images": png(1)}, data={"metadata": '[{"identity": "a",}]'})
    assert broken.status_code == 422
    assert "metadata: it is not JSON" in broken.json()["detail"]
    assert "line 1, column" in broken.json()["detail"]
