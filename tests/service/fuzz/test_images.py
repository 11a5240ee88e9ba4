"""Damaged images of every format, and sound ones with damaged metadata, as queries."""

import random
import struct
import zlib
from typing import Final

import httpx2
import pytest

from model.image import FORMATS
from tests.model import icc_profiles as icc
from tests.model.image_files import png_chunk
from tests.model.test_image import FILES
from tests.model.tiff_bytes import exif_block
from tests.service.fuzz.campaign import FuzzedService, run_campaign
from tests.service.fuzz.damage import damaged, damaged_within

PROFILE: Final = icc.matrix_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
EXIF: Final = exif_block(
    {0x0112: 6},
    {0x9003: "2026:05:01 12:00:00", 0x9011: "+02:00"},
    {1: "N", 2: [(48, 1), (8, 1), (0, 1)], 3: "E", 4: [(11, 1), (34, 1), (0, 1)]},
)


def test_the_files_have_what_is_damaged_in_them() -> None:
    assert set(FILES) == set(FORMATS)
    assert {name for name, data in FILES.items() if data.count(PROFILE) == 1} == set(FILES) - {"PNG"}
    assert {name for name, data in FILES.items() if data.count(EXIF) == 1} == set(FILES) - {"TIFF", "AVIF"}


def with_damaged_chunk(png: bytes, rng: random.Random) -> bytes:
    """A PNG file with damage in one of its chunks, whose checksum is right: no reader stops at it."""
    chunks = []
    position = 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        chunks.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    place = rng.randrange(len(chunks))
    kind, body = chunks[place]
    if kind == b"iCCP" and rng.random() < 0.7:
        name, _, packed = body.partition(b"\0")
        body = name + b"\0\0" + zlib.compress(damaged(zlib.decompress(packed[1:]), rng))
    elif kind == b"IDAT" and rng.random() < 0.7:
        body = zlib.compress(damaged(zlib.decompress(body), rng))
    else:
        body = damaged(body, rng)
    chunks[place] = kind, body
    return png[:8] + b"".join(png_chunk(kind, body) for kind, body in chunks)


def damaged_image(rng: random.Random) -> bytes:
    name = rng.choice(sorted(FILES))
    data = FILES[name]
    if name == "PNG" and rng.random() < 0.7:
        return with_damaged_chunk(data, rng)
    part = rng.choice([PROFILE, EXIF, data, data])
    if part != data and part in data:
        return damaged_within(data, part, rng)
    if rng.random() < 0.1:  # two formats in one file
        other = FILES[rng.choice(sorted(FILES))]
        data = data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
    return damaged(data, rng)


def ask(service: FuzzedService, rng: random.Random) -> httpx2.Response:
    answer = service.client.post("/query", files={"image": damaged_image(rng)}, headers=service.headers, timeout=300)
    assert answer.status_code in (200, 422), answer.text
    return answer


@pytest.mark.parametrize("num_cases", [200, pytest.param(10_000, marks=pytest.mark.trial)])
def test_no_damage_brings_it_down(service: FuzzedService, num_cases: int) -> None:
    num = run_campaign(service, ask, num_cases)
    assert min(num[200], num[422]) > num_cases / 10  # both are reached
