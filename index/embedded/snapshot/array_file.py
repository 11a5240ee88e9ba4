"""Arrays in a file, one behind the other, with a checksum over all of it. A file is written once and never changed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

# Large, since threads that read and compute checksums queue up for the interpreter between two chunks.
_CHUNK_BYTES: Final = 1 << 25


class DamagedFileError(Exception):
    """A file of the snapshot is missing or not as it was written; the message names it and says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path


def write_arrays(path: Path, arrays: Sequence[NDArray[Any]]) -> str:
    """Writes contiguous arrays to a new file, which is on disk when it returns; the file's checksum (xxh3_128, hex).

    Raises:
        OSError: it cannot be written, or is there already. A part of it may have been written.
    """
    digest = xxhash.xxh3_128()
    with path.open("xb") as file:
        for chunk in _chunks(arrays):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read_arrays(path: Path, arrays: Sequence[NDArray[Any]], checksum: str) -> None:
    """Fills contiguous arrays from a file that has exactly their bytes, without a copy.

    Raises:
        DamagedFileError: it is missing, cannot be read, or has another size or checksum. The arrays hold anything then.
    """
    digest = xxhash.xxh3_128()
    num_bytes = sum(array.nbytes for array in arrays)
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != num_bytes:
                raise DamagedFileError(path, f"has {size} bytes, not {num_bytes}")
            for chunk in _chunks(arrays):
                filled = 0
                while filled < len(chunk):
                    num_read = file.readinto(chunk[filled:])
                    if not num_read:
                        raise DamagedFileError(path, "became shorter while it was read")
                    filled += num_read
                digest.update(chunk)
    except FileNotFoundError:
        raise DamagedFileError(path, "is missing") from None
    except OSError as error:
        raise DamagedFileError(path, f"cannot be read: {error.strerror or error}") from error
    if digest.hexdigest() != checksum:
        raise DamagedFileError(path, "does not have its checksum")


def _chunks(arrays: Sequence[NDArray[Any]]) -> Iterator[memoryview]:
    """Views of the arrays' bytes."""
    for array in arrays:
        of_bytes = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(of_bytes), _CHUNK_BYTES):
            yield of_bytes[start : start + _CHUNK_BYTES]
