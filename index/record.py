"""A record: one enrolled vehicle, and everything that is known about it."""

import hashlib
import json
import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from model.box import Box


class FieldsError(ValueError):
    """Fields that contradict each other; the message says which."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What the user says about a vehicle; all optional, all changeable.

    Attributes:
        captured_at: with a time zone; kept in UTC to the microsecond.
        latitude, longitude: WGS 84 degrees, both or none.
        tags: sorted, each once.
    """

    identity: str | None = None
    camera: str | None = None
    captured_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.captured_at is not None:
            object.__setattr__(self, "captured_at", _in_utc(self.captured_at))
        if (self.latitude is None) != (self.longitude is None):
            raise FieldsError("latitude and longitude come together: give both or none")
        for name in ("latitude", "longitude"):
            if (value := getattr(self, name)) is not None:
                if not math.isfinite(value):
                    raise FieldsError(f"{name} must be a finite number, got {value}")
                # The one way to write a number that the store gives back: 50 and -0.0 are 50.0 and 0.0.
                object.__setattr__(self, name, float(value) + 0.0)
        object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))
        for text in (self.identity or "", self.camera or "", *self.tags):
            # SQLite's JSON ends at a NUL, and a half of a surrogate pair is no character.
            if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
                raise FieldsError("identity, camera and tags cannot hold NUL or lone surrogates")

    def differing(self, other: "Fields") -> list[str]:
        """The names of the fields whose values differ, in the order of the class."""
        return [f.name for f in fields(Fields) if getattr(self, f.name) != getattr(other, f.name)]


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which model made an embedding; embeddings of different keys are never compared.

    Attributes:
        fingerprint: of the checkpoint.
        precision: the numeric path, ``"float32"`` or ``"bf16"``.
    """

    fingerprint: str
    precision: str


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One vehicle in the gallery.

    Attributes:
        id: `record_id` of content and box, 32 hex digits.
        content: SHA-256 (hex) of the image file's bytes.
        media_type: of the image file.
        box: the vehicle, in pixels of the upright image.
        whole_image: whether the box is all of the image.
        embedding: (D,) float32.
        theta: (2, 3) float32.
        enrolled_at: when this embedding was stored, UTC.
    """

    id: str
    content: str
    media_type: str
    box: Box
    whole_image: bool
    fields: Fields
    embedding: NDArray[np.float32]
    theta: NDArray[np.float32]
    model: ModelKey
    enrolled_at: datetime

    def checksum(self) -> bytes:
        """SHA-256 over every field: a flipped bit anywhere in the record shows."""
        digest = hashlib.sha256()
        described = [
            self.id, self.content, self.media_type, str(self.box), self.whole_image,
            self.fields.identity, self.fields.camera, _iso(self.fields.captured_at), self.fields.latitude,
            self.fields.longitude, list(self.fields.tags), self.model.fingerprint, self.model.precision,
            _iso(self.enrolled_at),
        ]  # fmt: skip
        digest.update(json.dumps(described).encode())
        digest.update(self.embedding.tobytes())
        digest.update(self.theta.tobytes())
        return digest.digest()


def content_hash(data: bytes) -> str:
    """SHA-256 (hex) of an image file's bytes: its name in the image store."""
    return hashlib.sha256(data).hexdigest()


def record_id(content: str, box: Box) -> str:
    """The id of a vehicle: the same content and box have the same id on every backend and every machine."""
    return hashlib.sha256(f"{content} {box}".encode()).hexdigest()[:32]


def box_within(box: Box | None, pixels: NDArray[np.uint8]) -> Box:
    """The part of a box that lies on an image (H, W, 3), or all of the image: the box that makes a record's id.

    Raises:
        BoxError: it lies on the image by less than half, or too little is left.
    """
    height, width, _ = pixels.shape
    return Box(0, 0, width, height) if box is None else box.clip(width, height)


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise FieldsError("captured_at needs a time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise FieldsError(f"captured_at {time.isoformat()} lies outside the years 1 to 9999 in UTC") from None


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds")
