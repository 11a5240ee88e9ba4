"""A record: one enrolled vehicle, and everything that is known about it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from index.gallery.fields import Fields
from model.box import Box


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
        """SHA-256 over every field: a flipped bit anywhere in the record shows.

        Records of the first layout knew neither source nor attributes; where both are empty the sum is theirs.
        """
        digest = hashlib.sha256()
        described = [
            self.id, self.content, self.media_type, str(self.box), self.whole_image,
            self.fields.identity, self.fields.camera, _iso(self.fields.captured_at), self.fields.latitude,
            self.fields.longitude, list(self.fields.tags), self.model.fingerprint, self.model.precision,
            _iso(self.enrolled_at),
        ]  # fmt: skip
        if self.fields.source is not None or self.fields.attributes:
            described += [self.fields.source, list(self.fields.attributes.items())]
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


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="microseconds")
