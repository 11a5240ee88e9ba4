"""What a browser does with pictures: it shows them, asks for their head, and does not fetch them twice."""

import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from index.gallery.gallery import Gallery
from model.image import decode_image
from tests.conftest import picture, png
from tests.service.conftest import enrol


def file_of(image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(1)).save(buffer, image_format, **options)
    return buffer.getvalue()


def one(client: TestClient, data: bytes, **metadata: Any) -> str:
    form = {"metadata": json.dumps([metadata])}
    id_: str = client.post("/gallery", files={"images": ("file", data)}, data=form).json()["results"][0]["id"]
    return id_


@pytest.mark.parametrize(
    ("image_format", "media_type", "shown"),
    [
        ("PNG", "image/png", "image/png"),
        ("WEBP", "image/webp", "image/webp"),
        ("AVIF", "image/avif", "image/avif"),
        ("TIFF", "image/tiff", "image/png"),
    ],
)
def test_a_vehicle_comes_in_a_format_that_browsers_show(
    client: TestClient, image_format: str, media_type: str, shown: str
) -> None:
    data = file_of(image_format)
    id_ = one(client, data)
    image, frame = client.get(f"/gallery/{id_}/image"), client.get(f"/gallery/{id_}/frame")
    assert (image.headers["content-type"], frame.headers["content-type"]) == (shown, media_type)
    assert frame.content == data
    if shown == media_type:
        assert image.content == data
    else:
        np.testing.assert_array_equal(decode_image(image.content).pixels, picture(1))


def test_the_frame_of_a_box_is_the_whole_file(client: TestClient) -> None:
    id_ = one(client, png(1, 200, 150), box="30,20,60,40")
    record = client.get(f"/gallery/{id_}").json()
    assert record["frame_url"] == f"/gallery/{id_}/frame"
    assert client.get(record["frame_url"]).content == png(1, 200, 150)
    assert client.get("/gallery/0123/frame").status_code == 404


@pytest.mark.parametrize("kind", ["image", "aligned", "frame"])
def test_a_picture_that_is_known_is_not_sent_again(
    client: TestClient, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/gallery/{one(client, png(1))}/{kind}"
    first = client.get(path)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    monkeypatch.setattr(Gallery, "image", lambda *_: pytest.fail("the file was read"))
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert "max-age" in again.headers["cache-control"]
    monkeypatch.undo()
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    assert client.get(path.replace("/gallery/", "/gallery/0")).status_code == 404


def test_pictures_of_two_records_have_two_tags(client: TestClient) -> None:
    ids = [result["id"] for result in enrol(client, 1, 2)["results"]]
    assert len({client.get(f"/gallery/{id_}/image").headers["etag"] for id_ in ids}) == 2


@pytest.mark.parametrize(
    "path",
    ["/gallery", "/gallery/stats", "{record}", "{record}/image", "{record}/aligned", "{record}/frame", "/healthz",
     "/readyz", "/model", "/metrics", "/docs", "/openapi.json", "/nowhere", "/gallery/0123", "/gallery?x=1"],
)  # fmt: skip
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    path = path.format(record=f"/gallery/{one(client, png(1))}")
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    # What is counted grows between two scrapes.
    for name in ("content-type", "etag") if path == "/metrics" else ("content-length", "content-type", "etag"):
        assert head.headers.get(name) == get.headers.get(name)


def test_head_of_what_only_takes_post_is_refused(client: TestClient) -> None:
    answer = client.head("/query")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
