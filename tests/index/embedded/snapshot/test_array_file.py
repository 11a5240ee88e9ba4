from pathlib import Path

import numpy as np
import pytest
import xxhash

from index.embedded.snapshot import array_file
from index.embedded.snapshot.array_file import DamagedFileError, read_arrays, write_arrays

ARRAYS = [
    np.arange(7, dtype=np.int64),
    np.array([b"a" * 32, b"b"], "S32"),
    np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)[1:4],
    np.empty((4, 0), np.float32),
]


@pytest.fixture(params=[1 << 25, 10])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "_CHUNK_BYTES", request.param)


@pytest.mark.usefixtures("_chunks")
def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    checksum = write_arrays(tmp_path / "file", ARRAYS)
    data = (tmp_path / "file").read_bytes()
    assert data == b"".join(array.tobytes() for array in ARRAYS)
    assert checksum == xxhash.xxh3_128_hexdigest(data)
    arrays = [np.full_like(array, 1) for array in ARRAYS]
    read_arrays(tmp_path / "file", arrays, checksum)
    assert [array.tobytes() for array in arrays] == [array.tobytes() for array in ARRAYS]


def test_slices_of_larger_arrays_are_filled_in_place(tmp_path: Path) -> None:
    checksum = write_arrays(tmp_path / "file", [np.array([[1, 2], [3, 4]], np.float32)])
    large = np.zeros((4, 2), np.float32)
    read_arrays(tmp_path / "file", [large[1:3]], checksum)
    assert large.tolist() == [[0, 0], [1, 2], [3, 4], [0, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_every_change_of_a_file_is_found(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "file"
    checksum = write_arrays(path, ARRAYS)
    data = bytearray(path.read_bytes())
    if seed % 4 == 0:
        data = data[: rng.integers(len(data))]
    elif seed % 4 == 1:
        data += b"x"
    else:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"file (has \d+ bytes, not \d+|does not have its checksum)") as caught:
        read_arrays(path, [np.empty_like(array) for array in ARRAYS], checksum)
    assert caught.value.path == path


def test_a_missing_file_and_one_that_cannot_be_read_are_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="file is missing"):
        read_arrays(tmp_path / "file", [], "")
    with pytest.raises(DamagedFileError, match="cannot be read: Is a directory"):
        read_arrays(tmp_path, [], "")


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_arrays(tmp_path / "file", ARRAYS)
    assert (tmp_path / "file").read_bytes() == b"old"
