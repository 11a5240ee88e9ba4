"""Embedded batches on disk, so that work that was interrupted does not embed them again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from model.embeddings import Embeddings

_HASH_BYTES: Final = 32


class StoredBatches:
    """A file of batches in the order in which they are asked for, each with the hash of its images and of itself.

    To be used as a ``with`` block. What a kill has left half-written, and what was computed of other images or by
    another model, is computed again.
    """

    def __init__(self, path: Path, computed_by: str) -> None:
        """Opens or creates the file.

        Args:
            path: of the file.
            computed_by: what makes embeddings others: the model, the numeric path, the device.
        """
        self._computed_by = computed_by.encode()
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._may_know = True  # until the first batch that is not there

    def get(self, images: NDArray[np.uint8], embed: Callable[[], Embeddings]) -> Embeddings:
        """The embeddings of the next batch (N, S, S, 3): as they are stored, or as `embed` computes them now."""
        key = hashlib.sha256(self._computed_by + np.ascontiguousarray(images).data).digest()
        if self._may_know:
            start = self._file.tell()
            stored = self._read(key, len(images))
            if stored is not None:
                return stored
            self._may_know = False
            self._file.seek(start)
            self._file.truncate()
        embeddings = embed()
        body = embeddings.embedding.astype("<f4").tobytes() + embeddings.theta.astype("<f4").tobytes()
        header = key + len(body).to_bytes(8, "little")
        self._file.write(header + hashlib.sha256(header + body).digest() + body)
        self._file.flush()
        return embeddings

    def _read(self, key: bytes, num_images: int) -> Embeddings | None:
        header = self._file.read(_HASH_BYTES + 8)
        checksum = self._file.read(_HASH_BYTES)
        if header[:_HASH_BYTES] != key or len(checksum) < _HASH_BYTES:
            return None
        body = self._file.read(int.from_bytes(header[_HASH_BYTES:], "little"))
        if hashlib.sha256(header + body).digest() != checksum:
            return None
        rows = np.frombuffer(body, "<f4").astype(np.float32)
        num_theta = num_images * 6
        embedding, theta = rows[: len(rows) - num_theta], rows[len(rows) - num_theta :]
        return Embeddings(embedding.reshape(num_images, -1), theta.reshape(num_images, 2, 3))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
