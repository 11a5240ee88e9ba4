import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from model.tensor_file import save_tensors


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_tensors(tmp_path / "new" / "a.safetensors", {"x": torch.arange(3)}, {"format": "f"})
    with safe_open(tmp_path / "new" / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "f"}
        assert file.get_tensor("x").tolist() == [0, 1, 2]


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may be larger than 10 kB, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_what_cannot_be_written_is_an_error_of_the_system_and_leaves_what_was_there(
    little_room: None, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.zeros(3)}, {})
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"cannot write .*a\.safetensors: "):
        save_tensors(path, {"x": torch.zeros(10_000)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == before
