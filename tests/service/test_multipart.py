"""Multipart bodies as hand-written clients, cut connections and old libraries send them."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.conftest import png
from tests.service.conftest import enrol

END = b"--X--\r\n"


def part(name: str, data: bytes, disposition: str = "", headers: str = "") -> bytes:
    return (
        f'--X\r\nContent-Disposition: form-data; name="{name}"{disposition}\r\n{headers}\r\n'.encode() + data + b"\r\n"
    )


def image(name: str = "image", seed: int = 1) -> bytes:
    return part(name, png(seed), f'; filename="{seed}.png"')


def send(client: TestClient, path: str, parts: Sequence[bytes], parameters: str = "") -> Any:
    content_type = f"multipart/form-data; boundary=X{parameters}"
    return client.post(path, content=b"".join(parts), headers={"content-type": content_type})


def test_a_whole_form_is_read(client: TestClient) -> None:
    answer = send(client, "/gallery", [image("images", 1), image("images", 2), END])
    assert [result["filename"] for result in answer.json()["results"]] == ["1.png", "2.png"]


CUT_OFF = {
    "after the last part": [image("images", 1), image("images", 2)],
    "before the metadata end": [image("images", 1), part("metadata", b'[{"identity": "van 7"}]')],
    "within a part": [image("images", 1), image("images", 2)[:-500]],
    "within a header": [image("images", 1), b"--X\r\nContent-Dispo"],
    "within the closing boundary": [image("images", 1), b"--X-"],
    "after the boundary of another part": [image("images", 1), b"--X\r\n"],
    "with another boundary": [image("images", 1), b"--Y--\r\n"],
    "before anything": [b""],
}


@pytest.mark.parametrize("where", CUT_OFF)
def test_a_form_that_is_cut_off_is_refused_and_nothing_is_stored(client: TestClient, where: str) -> None:
    answer = send(client, "/gallery", CUT_OFF[where])
    assert (answer.status_code, answer.json()["title"]) == (400, "Malformed request")
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/gallery").json()["total"] == 0


def test_a_condition_that_is_cut_off_does_not_widen_a_query(client: TestClient) -> None:
    enrol(client, 1)
    form = [image(), part("camera", b"no-such-camera")]
    assert send(client, "/query", form).status_code == 400
    assert send(client, "/query", [*form, END]).json()["searched"] == 0


def test_what_follows_the_closing_boundary_is_not_the_form(client: TestClient) -> None:
    assert send(client, "/query", [image(), END, b"epilogue"]).status_code == 200


NAMES = '[{"identity": "Zoë 車", "camera": "Süd"}]'
NOT_UTF8 = {
    "a damaged byte": (NAMES.encode().replace("ü".encode(), b"\xfc"), ""),
    "a Windows console": (NAMES.replace("車", "").encode("cp850"), ""),
    "Latin-1 that says so": (NAMES.replace("車", "").encode("latin-1"), "; charset=iso-8859-1"),
    "UTF-16": (NAMES.encode("utf-16"), "; charset=utf-16"),
    "an unknown charset": (NAMES.encode(), "; charset=utf8mb4"),
    "a surrogate": (b'[{"identity": "\xed\xa0\x80"}]', ""),
}


@pytest.mark.parametrize("kind", NOT_UTF8)
def test_text_that_is_not_utf8_is_refused(client: TestClient, kind: str) -> None:
    metadata, parameters = NOT_UTF8[kind]
    answer = send(client, "/gallery", [image("images"), part("metadata", metadata), END], parameters)
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["detail"]
    assert client.get("/gallery").json()["total"] == 0


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF-8", "; charset=us-ascii"])
def test_utf8_is_read_whatever_it_is_called(client: TestClient, charset: str) -> None:
    answer = send(client, "/gallery", [image("images"), part("metadata", NAMES.encode()), END], charset)
    record = client.get(f"/gallery/{answer.json()['results'][0]['id']}").json()
    assert (record["identity"], record["camera"]) == ("Zoë 車", "Süd")


def test_the_name_of_a_file_must_be_utf8_too(client: TestClient) -> None:
    body = image("images").replace(b"1.png", b"S\xfcd.png")
    assert send(client, "/gallery", [body, END]).status_code == 400


@pytest.mark.parametrize(
    "disposition",
    [
        "; filename*=utf-8''%E8%BB%8A.jpg",
        "; filename*=UTF-8'ja'%e8%bb%8a.jpg",
        '; filename="車.jpg"',
        "; filename=\"車.jpg\"; filename*=utf-8''ignored.jpg",
    ],
)
def test_a_file_name_comes_in_either_form(client: TestClient, disposition: str) -> None:
    answer = send(client, "/gallery", [part("images", png(1), disposition), END])
    assert answer.json()["results"][0]["filename"] == "車.jpg"


@pytest.mark.parametrize("name", ["filename*=klingon''a.jpg", "filename*=utf-8''%ff.jpg"])
def test_a_file_name_in_an_unknown_form_is_refused(client: TestClient, name: str) -> None:
    assert send(client, "/gallery", [part("images", png(1), f"; {name}"), END]).status_code == 400


@pytest.mark.parametrize(
    ("path", "parts", "said"),
    [
        ("/query", [part("image", b"0.jpg")], "image: send a file (curl: -F image=@FILE)"),
        ("/query", [part("image", png(1))], "not UTF-8"),
        ("/gallery", [part("images", b"0.jpg")], "images: send a file (curl: -F images=@FILE)"),
        (
            "/gallery",
            [image("images"), part("metadata", b"[{}]", '; filename="metadata.json"')],
            "metadata: send it as text (curl: -F 'metadata=<FILE')",
        ),
        ("/query", [image(), part("camera", b"a", '; filename="a.txt"')], "camera: send it as text"),
        ("/query", [image(), part("top_k", b"3", '; filename="a.txt"')], "top_k: send it as text"),
    ],
)
def test_slips_are_answered_in_the_users_words(client: TestClient, path: str, parts: list[bytes], said: str) -> None:
    answer = send(client, path, [*parts, END])
    assert answer.status_code in (400, 422)
    detail = answer.json()["detail"]
    assert said in detail
    for internal in ("UploadFile", "<class", "Headers(", "\\x", "pydantic"):
        assert internal not in detail


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/json", "curl: -F image=@FILE); got 'application/json'"),
        ("application/x-www-form-urlencoded", "a multipart form was expected"),
        ("image/jpeg", "a multipart form was expected"),
        ("", "the content type is missing"),
    ],
)
def test_another_content_type_is_named(client: TestClient, content_type: str, said: str) -> None:
    answer = client.post("/query", content=b"image=x", headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["title"]) == (415, "Unsupported content type")
    assert said in answer.json()["detail"]


def test_a_form_without_a_boundary_is_refused(client: TestClient) -> None:
    answer = client.post("/query", content=image() + END, headers={"content-type": "multipart/form-data"})
    assert answer.status_code == 400


def test_metadata_has_room_for_256_files_and_no_more(client: TestClient) -> None:
    for size, status in ((900_000, 422), (1_100_000, 400)):
        metadata = b'[{"identity": "' + b"a" * size + b'"}]'
        assert send(client, "/gallery", [image("images"), part("metadata", metadata), END]).status_code == status


CAMERA = part("camera", b"no-such-camera")
LOST = {
    "the end after each part": [image(), END, CAMERA, END],
    "a boundary that ends in LF": [image(), CAMERA.replace(b"--X\r\n", b"--X\n"), END],
    "a boundary with text behind it": [image(), CAMERA.replace(b"--X\r\n", b"--X;\r\n"), END],
    "two dispositions": [image(), part("camera", b"a", headers='Content-Disposition: form-data; name="tag"\r\n'), END],
    "two names": [image(), part("camera", b"a", '; name="tag"'), END],
    "base64": [image(), part("camera", b"YQ==", headers="Content-Transfer-Encoding: base64\r\n"), END],
    "UTF-7": [image(), part("camera", b"Zo+AOs-", headers="Content-Type: text/plain; charset=utf-7\r\n"), END],
    "a file name without its character set": [image(), part("camera", b"a", "; filename*=a.jpg"), END],
}


@pytest.mark.parametrize("kind", LOST)
def test_what_would_be_lost_or_misread_is_refused(client: TestClient, kind: str) -> None:
    answer = send(client, "/query", LOST[kind])
    assert (answer.status_code, answer.json()["title"]) == (400, "Malformed request")


def test_lines_with_the_boundary_are_counted_across_chunks(client: TestClient) -> None:
    body = b"".join(LOST["a boundary that ends in LF"])
    whole = b"".join([image(), CAMERA, END])
    for sent, status in ((body, 400), (whole, 200)):
        chunks = (sent[start : start + 1] for start in range(len(sent)))
        headers = {"content-type": "multipart/form-data; boundary=X"}
        assert client.post("/query", content=chunks, headers=headers).status_code == status


@pytest.mark.parametrize("header", ["Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: 8bit"])
def test_what_changes_nothing_of_a_text_is_no_error(client: TestClient, header: str) -> None:
    assert send(client, "/query", [image(), part("camera", b"a", headers=f"{header}\r\n"), END]).status_code == 200


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("; filename=\"a;filename*=klingon''x\"", "a;filename*=klingon''x"),
        ("; filename*=\"utf-8''a;b.jpg\"", "a;b.jpg"),
    ],
)
def test_quotes_hold_a_file_name_together(client: TestClient, disposition: str, name: str) -> None:
    answer = send(client, "/gallery", [part("images", png(1), disposition), END])
    assert answer.json()["results"][0]["filename"] == name


def test_a_compressed_body_is_refused_by_its_header(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=X", "content-encoding": "gzip"}
    answer = client.post("/query", content=image() + END, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert client.patch("/gallery/0", json={}, headers={"content-encoding": "gzip"}).status_code == 415


def test_metadata_of_a_file_may_begin_with_a_byte_order_mark(client: TestClient) -> None:
    metadata = part("metadata", b"\xef\xbb\xbf" + NAMES.encode())
    assert send(client, "/gallery", [image("images"), metadata, END]).status_code == 201


def test_the_limit_of_files_is_the_one_that_is_named(client: TestClient) -> None:
    answer = send(client, "/gallery", [part("images", b"x", '; filename="a.jpg"')] * 1100 + [END])
    assert answer.json()["detail"] == "images: at most 256 were expected, 1100 came"
