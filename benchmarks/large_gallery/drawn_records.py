"""Records of a large gallery: embeddings drawn from a model, 64 vehicles to a frame, fields as a flight's would be."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.embedding_model import EmbeddingModel
from index.gallery.enrolment import Enrolment
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record, record_id
from model.box import Box

BATCH: Final = 64
"""Vehicles of a frame, which are enrolled together."""
FIRST_OF_CLIENTS: Final = 10**7
"""Numbers from here on are what the writing clients enrol, by the identity `CLIENTS`, so that it can go again."""
CLIENTS: Final = "of the clients"
MODEL: Final = ModelKey("0" * 64, "float32")

_VIEWS: Final = 9
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_THETA: Final = np.eye(2, 3, dtype=np.float32)


def batches(model: EmbeddingModel, first: int, num: int, seed: int) -> Iterator[list[Enrolment]]:
    """`num` records from number `first` on, a frame at a time."""
    rng = np.random.default_rng((seed, first))
    while num > 0:
        vehicles = rng.permutation(model.draw(BATCH, _VIEWS, rng).reshape(BATCH * _VIEWS, -1))
        for start in range(0, len(vehicles), BATCH):
            if num > 0:
                yield [_enrolment(first + i, vehicles[start + i]) for i in range(min(BATCH, num))]
            first, num = first + BATCH, num - BATCH


def image_of(number: int) -> bytes:
    """The file of a record's frame."""
    return b"frame %d" % (number // BATCH)


def place_of(number: int) -> tuple[str, Box]:
    """The content of a record's frame, and its vehicle's box."""
    return hashlib.sha256(image_of(number)).hexdigest(), Box(60 * (number % BATCH), 0, 60, 40)


def _enrolment(number: int, embedding: NDArray[np.float32]) -> Enrolment:
    content, box = place_of(number)
    frame = number // BATCH
    fields = Fields(
        identity=CLIENTS if number >= FIRST_OF_CLIENTS else f"vehicle {number // 5}",
        camera=f"camera {number % 200}",
        captured_at=_START + timedelta(seconds=30 * frame),
        latitude=48 + number % 3001 / 1e4,
        longitude=11 + number % 4999 / 1e4,
        tags=("parked",) if number % 3 else (),
        source=f"flight/frame {frame:06}.jpg",
    )
    embedding = np.ascontiguousarray(embedding)
    record = Record(
        record_id(content, box), content, "image/jpeg", box, False, fields, embedding, _THETA, MODEL, _START
    )
    return Enrolment(record, partial(image_of, number))
