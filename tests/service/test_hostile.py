"""What must not bring the service down: each gets its 4xx with a sentence, and the next request is served."""

import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import picture, png
from tests.service.conftest import enrol, query


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def huge_png() -> bytes:
    """A header of 40,000 x 40,000 and a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    )


RGB = Image.fromarray(picture(1))
BAD_IMAGES = {
    "empty": (b"", "the file is empty"),
    "text": (b"I am no image", "not a JPEG, PNG, WebP, TIFF, HEIC or AVIF image but text"),
    "gif": (encoded(RGB, "GIF"), "the file is a GIF image: send"),
    "truncated JPEG": (encoded(RGB, "JPEG")[:-200], "damaged and cannot be decoded"),
    "truncated PNG": (encoded(RGB, "PNG")[:-200], "damaged and cannot be decoded"),
    "truncated WebP": (encoded(RGB, "WEBP")[:-200], "damaged and cannot be decoded"),
    "one pixel": (encoded(RGB.resize((1, 1)), "PNG"), "the image is 1 x 1"),
    "animated": (encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)]), "the image is animated"),
    "huge header": (huge_png(), "100,000,000 pixels"),
}


@pytest.fixture(autouse=True)
def _still_serving(client: TestClient) -> Iterator[None]:
    enrol(client, 77)
    yield
    assert query(client, 77)["matches"][0]["distance"] < 1e-3


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_with_a_reason(client: TestClient, kind: str) -> None:
    data, said = BAD_IMAGES[kind]
    queried = client.post("/query", files={"image": ("car.jpg", data)})
    assert queried.status_code == 422
    assert said in queried.json()["detail"]
    enrolled = client.post("/gallery", files={"images": ("car.jpg", data)})
    assert enrolled.status_code == 422
    assert said in enrolled.json()["results"][0]["detail"]


GREY = RGB.convert("L")
VALID_IMAGES: dict[str, tuple[bytes, Image.Image]] = {
    "CMYK": (encoded(RGB.convert("CMYK"), "JPEG", quality=100), RGB.convert("CMYK").convert("RGB")),
    "palette": (encoded(RGB.quantize(64), "PNG"), RGB.quantize(64).convert("RGB")),
    "grey": (encoded(GREY, "PNG"), GREY.convert("RGB")),
    "alpha": (encoded(Image.merge("RGBA", (*RGB.split(), GREY)), "PNG"), RGB),
    "16-bit": (encoded(Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257), "PNG"), GREY.convert("RGB")),
    "turned by EXIF": (
        encoded(
            RGB.transpose(Image.Transpose.ROTATE_90),
            "PNG",
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        ),
        RGB,
    ),
}


@pytest.mark.parametrize("kind", VALID_IMAGES)
def test_every_kind_of_image_has_the_embedding_of_its_rgb_twin(client: TestClient, kind: str) -> None:
    data, twin = VALID_IMAGES[kind]
    id_ = client.post("/gallery", files={"images": ("twin.png", encoded(twin, "PNG"))}).json()["results"][0]["id"]
    match = client.post("/query", files={"image": ("car", data)}).json()["matches"][0]
    assert match["id"] == id_
    # JPEG keeps the pixels of CMYK only nearly.
    assert match["distance"] < (0.5 if kind == "CMYK" else 1e-3)


def test_251_of_256_are_enrolled_and_5_rejected_each_in_its_place(client: TestClient) -> None:
    bad = {3: "empty", 64: "text", 100: "truncated JPEG", 200: "one pixel", 255: "huge header"}
    files = [("images", (f"{i}.png", BAD_IMAGES[bad[i]][0] if i in bad else png(i, 20, 16))) for i in range(256)]
    metadata = json.dumps([{"identity": f"vehicle {i}"} for i in range(256)])
    answer = client.post("/gallery", files=files, data={"metadata": metadata})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["enrolled"], body["duplicates"], body["rejected"]) == (251, 0, 5)
    assert [result["filename"] for result in body["results"]] == [f"{i}.png" for i in range(256)]
    for i, result in enumerate(body["results"]):
        if i in bad:
            assert result["status"] == "rejected"
            assert BAD_IMAGES[bad[i]][1] in result["detail"]
        else:
            assert client.get(f"/gallery/{result['id']}").json()["identity"] == f"vehicle {i}"
            assert client.get(f"/gallery/{result['id']}/image").content == png(i, 20, 16)


def test_a_body_beyond_the_limit_is_refused(client: TestClient) -> None:
    response = client.post("/query", files={"image": ("big.png", b"\0" * 50_000_000)})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert "larger than" in response.json()["detail"]
    response = client.patch("/gallery/0", content=b" " * 2_000_000, headers={"content-type": "application/json"})
    assert response.status_code == 413


def test_a_file_beyond_the_limit_is_rejected_alone(client: TestClient) -> None:
    files = [("images", ("1.png", png(1))), ("images", ("big.png", png(2) + b"\0" * 50_000_000))]
    results = client.post("/gallery", files=files).json()["results"]
    assert [result["status"] for result in results] == ["enrolled", "rejected"]
    assert "larger than 32,000,000 bytes" in results[1]["detail"]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"image=x", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (
            b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\nabc\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("path", ["/query", "/gallery"])
def test_a_body_of_another_kind_is_refused(client: TestClient, path: str, content: bytes, content_type: str) -> None:
    response = client.post(path, content=content, headers={"content-type": content_type})
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "box",
            "top_k",
            "camera",
            "tag",
            "identity",
            "captured_after",
            "captured_before",
            "near",
            "group_by",
            "source",
            "attribute",
            "x",
        ]
    ),
    st.one_of(
        st.text(max_size=40),
        st.integers().map(str),
        st.floats().map(str),
        st.lists(st.one_of(st.integers(), st.floats()), min_size=2, max_size=5).map(lambda v: ",".join(map(str, v))),
        st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    ),
    max_size=4,
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "identity",
                    "camera",
                    "captured_at",
                    "latitude",
                    "longitude",
                    "tags",
                    "source",
                    "attributes",
                    "box",
                    "boxes",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def fuzz_query(client: TestClient, form: dict[str, str]) -> None:
    response = client.post("/query", files={"image": ("1.png", png(1))}, data=form)
    assert response.status_code in (200, 422), response.text
    assert response.json()["detail"] if response.status_code == 422 else response.json()["query"]


def fuzz_metadata(client: TestClient, metadata: Any) -> None:
    files = {"images": ("1.png", png(1))}
    response = client.post("/gallery", files=files, data={"metadata": json.dumps([metadata])})
    assert response.status_code in (200, 201, 422), response.text
    assert client.get("/gallery").status_code == 200


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@_settings(60)
@given(form=FIELDS)
def test_no_form_brings_it_down(client: TestClient, form: dict[str, str]) -> None:
    fuzz_query(client, form)


@_settings(60)
@given(metadata=JSON)
def test_no_metadata_bring_it_down(client: TestClient, metadata: Any) -> None:
    fuzz_metadata(client, metadata)


@pytest.mark.trial
@_settings(5000)
@given(form=FIELDS)
def test_no_form_brings_it_down_in_a_long_run(client: TestClient, form: dict[str, str]) -> None:
    fuzz_query(client, form)


@pytest.mark.trial
@_settings(5000)
@given(metadata=JSON)
def test_no_metadata_bring_it_down_in_a_long_run(client: TestClient, metadata: Any) -> None:
    fuzz_metadata(client, metadata)
