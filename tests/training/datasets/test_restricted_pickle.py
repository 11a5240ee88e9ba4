import pickle
from pathlib import Path

import numpy as np
import pytest

from index.datasets.manifest import ManifestError
from tests.training.datasets.layouts import python2_pickle
from training.datasets.restricted_pickle import read_plain_pickle


class _Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "annotation.pkl"
    path.write_bytes(data)
    return path


def test_python_2s_lists_and_texts(tmp_path: Path) -> None:
    assert read_plain_pickle(write(tmp_path, python2_pickle({"names": ["a.jpg", "b.jpg"], "n": [1, 2]}))) == {
        "names": ["a.jpg", "b.jpg"],
        "n": [1, 2],
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpys_arrays_and_numbers(protocol: int, tmp_path: Path) -> None:
    values = {"array": np.arange(6).reshape(2, 3), "number": np.float32(0.5), "texts": np.array(["a", "b"])}
    read = read_plain_pickle(write(tmp_path, pickle.dumps(values, protocol)))
    np.testing.assert_array_equal(read["array"], values["array"])
    assert read["number"] == np.float32(0.5)
    assert read["texts"].tolist() == ["a", "b"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_called(protocol: int, tmp_path: Path) -> None:
    path = write(tmp_path, pickle.dumps(["fine", _Attack(tmp_path / "owned")], protocol))
    with pytest.raises(ManifestError, match="it wants to call"):
        read_plain_pickle(path)
    assert not (tmp_path / "owned").exists()


def test_an_object_array_is_no_way_around(tmp_path: Path) -> None:
    hidden = np.array([_Attack(tmp_path / "owned")], dtype=object)
    with pytest.raises(ManifestError, match="it wants to call"):
        read_plain_pickle(write(tmp_path, pickle.dumps(hidden)))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("data", [b"", b"\x80", b"not a pickle", pickle.dumps(list(range(1000)))[:-10]])
def test_damage_is_an_error_of_ours(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no pickle of plain data"):
        read_plain_pickle(write(tmp_path, data))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"expected the file .*annotation.pkl"):
        read_plain_pickle(tmp_path / "annotation.pkl")
