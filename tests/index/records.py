"""Seeded records: a seed always gives the same record, in every process."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.gallery.enrolment import Enrolment
from index.gallery.fields import Fields
from index.gallery.record import ModelKey, Record, content_hash, record_id
from model.box import Box

DIM = 16
MODEL = ModelKey("a" * 64, "float32")
OTHER_MODELS = [ModelKey("b" * 64, "float32"), ModelKey("a" * 64, "bf16")]
BOX = Box(0, 0, 60, 40)
LEFT, RIGHT = Box(0, 0, 30, 40), Box(30, 0, 30, 40)


def vector(seed: int, dim: int = DIM) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def image(frame: int) -> bytes:
    return b"the image file of frame %d" % frame


def record(
    seed: int,
    *,
    frame: int | None = None,
    box: Box = BOX,
    embedding: NDArray[np.float32] | None = None,
    model: ModelKey = MODEL,
    **fields: Any,
) -> Record:
    content = content_hash(image(seed if frame is None else frame))
    return Record(
        id=record_id(content, box),
        content=content,
        media_type="image/png",
        box=box,
        whole_image=box == BOX,
        fields=Fields(**fields),
        embedding=vector(seed) if embedding is None else embedding,
        theta=vector(seed + 1_000_000, 6).reshape(2, 3),
        model=model,
        enrolled_at=datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=seed, microseconds=seed),
    )


def enrolment(seed: int, *, frame: int | None = None, **changes: Any) -> Enrolment:
    return Enrolment(record(seed, frame=frame, **changes), lambda: image(seed if frame is None else frame))


def in_one_frame(seed: int, **changes: Any) -> Enrolment:
    """Many of them cost one image file."""
    return enrolment(seed, frame=0, box=Box(seed, 0, 10, 10), **changes)


def values(record: Record) -> dict[str, object]:
    """Everything in a record, comparable bit for bit."""
    arrays = {"embedding": record.embedding, "theta": record.theta}
    described: dict[str, object] = {name: getattr(record, name) for name in Record.__slots__ if name not in arrays}
    return described | {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def tamper(path: Path, sql: str, *parameters: object) -> None:
    """Changes a SQLite file behind the store's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, parameters)


# A value in every field, each of which some database or text format gets wrong.
FULL = record(
    1,
    box=Box(-3, 7, 1_000_000, 4),
    identity="Fahrzeug Ω 🚗 'x'; --",
    camera="",
    captured_at=datetime(2026, 5, 1, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    latitude=-33.856784123456789,
    longitude=1e-300,
    tags=("", "größe", '"', "a,b", "[]", "\1", "\\u0000", "NULL", "{}"),
    source='drone 1/Flug "a"\\frame 🚗.jpg',
    attributes={"größe": "x", '"': "\\", "": "a:b", "$.a": "%s", "%(x)s": ":name"},
)
