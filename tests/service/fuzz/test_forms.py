"""Multipart bodies that no library writes: cut off at every byte, nested, folded, nameless, endless, in any pieces."""

import json
import random
import time
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from tests.conftest import png
from tests.service.fuzz.campaign import FuzzedService, run_campaign
from tests.service.fuzz.damage import damaged

Part = tuple[list[bytes], bytes]
"""The lines of a part's head, and its content."""

IMAGE: Final = png(1, 12, 8)
TEXTS: Final = [
    (b"top_k", b"3"), (b"camera", "Süd".encode()), (b"tag", b"red"), (b"identity", b"van 7"), (b"box", b"0,0,8,8"),
    (b"near", b"48,11,100"), (b"captured_after", b"2026-05-01T12:00:00Z"), (b"attribute", b"a:b"),
]  # fmt: skip


def text_part(name: bytes, value: bytes) -> Part:
    return [b'Content-Disposition: form-data; name="' + name + b'"'], value


def file_part(name: bytes, data: bytes = IMAGE) -> Part:
    return [b'Content-Disposition: form-data; name="' + name + b'"; filename="1.png"', b"Content-Type: image/png"], data


def body_of(parts: list[Part], boundary: bytes = b"X") -> bytes:
    lines = [
        b"--" + boundary + b"\r\n" + b"".join(line + b"\r\n" for line in head) + b"\r\n" + content + b"\r\n"
        for head, content in parts
    ]
    return b"".join(lines) + b"--" + boundary + b"--\r\n"


def odd_head(head: list[bytes], rng: random.Random) -> list[bytes]:
    """The head of a part as none should be."""
    disposition = head[0]
    form_data = rng.choice([b"FORM-DATA", b"form-data\0", b"file", b'"form-data"'])
    charset = rng.choice([b"utf-7", b"utf-16", b"x" * 900, b"", b"idna"])
    return rng.choice(
        [
            [disposition.replace(b"; ", b";\r\n ", 1), *head[1:]],  # folded
            [disposition.replace(b"; ", b";\r\n\t", 1), *head[1:]],
            [b"Content-Disposition: form-data", *head[1:]],  # without a name
            [b"Content-Disposition: attachment; filename=a", *head[1:]],
            head[1:],
            [*head, disposition],
            [disposition + b"; name=other", *head[1:]],
            [disposition + b'; filename="../../' + b"a" * rng.choice([10, 3000, 100_000]) + b'"', *head[1:]],
            [disposition + b"; filename*=utf-8''" + b"%ff" * rng.randrange(20), *head[1:]],
            [disposition + b'; filename="a\\"; name=x; \\\\"', *head[1:]],
            [*head, b"Content-Transfer-Encoding: " + rng.choice([b"base64", b"8bit", b"quoted-printable", b""])],
            [*head, b"Content-Type: text/plain; charset=" + charset],
            [*head, b"Content-Encoding: gzip"],
            [*head, b"X: " + b"a" * rng.choice([100, 5000, 200_000])],
            [*head, *[b"X-%d: a" % n for n in range(rng.choice([10, 500]))]],
            [*head, b" : a"],
            [*head, b"no colon"],
            [line.replace(b": ", b":\0") for line in head],
            [line.replace(b"form-data", form_data) for line in head],
        ]
    )


def odd_content_type(rng: random.Random) -> str:
    """Names another boundary, or none, or oddly; the body's own is X."""
    return rng.choice(
        [
            "multipart/form-data", "multipart/form-data; boundary", "multipart/form-data; boundary=",
            "multipart/form-data; boundary=Y", 'multipart/form-data; boundary="X"', "multipart/form-data; boundary=X;",
            "multipart/form-data; boundary=X; boundary=Y", "multipart/form-data; boundary='X'",
            "multipart/form-data; BOUNDARY=X", "multipart/form-data;boundary=X ; charset=utf-8",
            f"multipart/form-data; boundary={'X' * 5000}", "multipart/form-data; boundary=X; charset=utf-16",
            "multipart/form-data; boundary*=utf-8''X", "multipart/mixed; boundary=X", "multipart/form-data, boundary=X",
            "text/plain", "application/x-www-form-urlencoded", "application/json", 'multipart/form-data; boundary="X',
            "multipart/form-data; boundary=-", "multipart/form-data; boundary=--X",
        ]
    )  # fmt: skip


def odd_form(rng: random.Random) -> tuple[str, bytes]:
    """A content type and a body, one of which at least is odd."""
    content_type = "multipart/form-data; boundary=X"
    parts = [file_part(b"image"), *(text_part(*text) for text in rng.sample(TEXTS, rng.randrange(4)))]
    rng.shuffle(parts)
    match rng.randrange(8):
        case 0:
            body = damaged(body_of(parts), rng)
        case 1:
            body = body_of(parts)[: rng.randrange(len(body_of(parts)))]
        case 2:
            place = rng.randrange(len(parts))
            parts[place] = odd_head(parts[place][0], rng), parts[place][1]
            body = body_of(parts)
        case 3:
            content_type, body = odd_content_type(rng), body_of(parts)
        case 4:  # nested: a form as the content of a part
            inner = body_of(parts, rng.choice([b"X", b"Y", b"XX"]))
            for _ in range(rng.choice([0, 1, 30])):
                inner = body_of([([b"Content-Type: multipart/mixed; boundary=Y"], inner)], b"Y")
            head = [b"Content-Disposition: form-data; name=image", b"Content-Type: multipart/mixed; boundary=Y"]
            body = body_of([(head, inner)])
        case 5:  # thousands of parts
            name = rng.choice([b"tag", b"image", b"x", b"", b"box"])
            make = file_part if rng.random() < 0.3 else text_part
            body = body_of(parts + [make(name, b"a")] * rng.choice([100, 1999, 2000, 5000]))
        case 6:  # around the form
            prologue = rng.choice([b"", b"\r\n", b"prologue\r\n", b"--\r\n", b"--X", b"\n" * 5000])
            body = prologue + body_of(parts) + rng.choice([b"", b"epilogue", b"\r\n--X\r\n", body_of(parts)])
        case _:  # line ends and boundaries
            old, new = rng.choice(
                [(b"\r\n", b"\n"), (b"\r\n", b"\r"), (b"--X\r\n", b"--X \r\n"), (b"--X", b"--x"), (b"--X--", b"--X-"),
                 (b"\r\n\r\n", b"\r\n"), (b"--X\r\n", b"--X--\r\n"), (b"--X", b"---X"), (b"\r\n--X", b"--X")]
            )  # fmt: skip
            body = body_of(parts).replace(old, new, rng.choice([1, 2, -1]))
    return content_type, body


def in_pieces(body: bytes, rng: random.Random) -> Iterator[bytes]:
    """The body in chunks of any size, of which some come late."""
    most = rng.choice([1, 7, 100, 70_000]) if len(body) < 3000 else rng.choice([5000, 70_000])
    position = 0
    while position < len(body):
        size = rng.randint(1, most)
        yield body[position : position + size]
        position += size
        if rng.random() < 0.002:
            time.sleep(0.02)


def ask(service: FuzzedService, rng: random.Random) -> httpx2.Response:
    content_type, body = odd_form(rng)
    answer = service.post("/query", in_pieces(body, rng) if rng.random() < 0.5 else body, content_type)
    assert answer.status_code in (200, 400, 413, 415, 422), answer.text
    return answer


@pytest.mark.parametrize("num_cases", [200, pytest.param(10_000, marks=pytest.mark.trial)])
def test_no_form_brings_it_down(service: FuzzedService, num_cases: int) -> None:
    num = run_campaign(service, ask, num_cases)
    assert set(num) >= {200, 400, 415, 422}


FORMS: Final = {
    "/query": [file_part(b"image"), text_part(b"camera", b"no-such-camera"), text_part(b"top_k", b"100")],
    "/gallery": [file_part(b"images"), text_part(b"metadata", json.dumps([{"camera": "cut off"}]).encode())],
}


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.trial)])
@pytest.mark.parametrize("path", FORMS)
def test_a_form_that_is_cut_off_at_any_byte_is_refused(service: FuzzedService, path: str, every: int) -> None:
    """Each is refused but the whole one, also without its last line end: nothing of it is used."""
    body = body_of(FORMS[path])
    before = service.client.get("/gallery/stats", headers=service.headers).json()
    for length in range(0, len(body) - 2, every):
        answer = service.post(path, body[:length], "multipart/form-data; boundary=X")
        assert (answer.status_code, answer.json()["title"]) == (400, "Malformed request"), length
    assert service.client.get("/gallery/stats", headers=service.headers).json() == before
    assert service.post(path, body[:-2], "multipart/form-data; boundary=X").status_code in (200, 201)


def test_a_huge_form_is_refused(service: FuzzedService) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--X\r\nContent-Disposition: form-data; name="image"; filename="1.png"\r\n\r\n'
        for _ in range(400):
            yield bytes(100_000)

    with service.not_growing():
        for _ in range(3):
            answer = service.post("/query", endless(), "multipart/form-data; boundary=X")
            assert (answer.status_code, answer.json()["title"]) == (413, "Body too large")
