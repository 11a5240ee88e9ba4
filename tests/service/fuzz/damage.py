"""Ways to damage bytes that find more than flips alone: lengths, repetitions, gaps, and numbers at which one errs."""

import random
import struct
from typing import Final

_EDGES: Final = [0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]


def damaged(data: bytes, rng: random.Random, most: int = 4) -> bytes:
    """The bytes with one to `most` damages, each of a random kind, somewhere in them."""
    for _ in range(rng.randint(1, most)):
        data = rng.choice(_DAMAGES)(data, rng)
    return data


def damaged_within(data: bytes, part: bytes, rng: random.Random) -> bytes:
    """The bytes with damages only in the one place where this part is, which keeps its length."""
    assert data.count(part) == 1
    changed = damaged(part, rng)[: len(part)]
    return data.replace(part, changed + part[len(changed) :])


def _place(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + int(rng.expovariate(1 / 16)) + 1)


def _flip(data: bytes, rng: random.Random) -> bytes:
    begin, _ = _place(data, rng)
    return data[:begin] + bytes([rng.randrange(256)]) + data[begin + 1 :]


def _edge(data: bytes, rng: random.Random) -> bytes:
    """A number of two or four bytes, in either order, where files have lengths, offsets and counts."""
    begin, _ = _place(data, rng)
    number = rng.choice(_EDGES)
    written = struct.pack(rng.choice("<>") + "I", number)
    if number < 65536 and rng.random() < 0.5:
        written = struct.pack(rng.choice("<>") + "H", number)
    return data[:begin] + written + data[begin + len(written) :]


def _junk(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + rng.randbytes(end - begin) + data[end:]


def _gap(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + data[end:]


def _insertion(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + rng.randbytes(end - begin) + data[begin:]


def _repetition(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + data[begin:end] * rng.choice([2, 3, 50]) + data[end:]


def _exchange(data: bytes, rng: random.Random) -> bytes:
    """A part of the file once more, in another place of it."""
    (begin, end), (place, _) = _place(data, rng), _place(data, rng)
    return data[:place] + data[begin:end] + data[place + end - begin :]


def _end(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


_DAMAGES: Final = [_flip, _flip, _edge, _edge, _junk, _gap, _insertion, _repetition, _exchange, _end]
