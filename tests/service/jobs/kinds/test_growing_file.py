from pathlib import Path

import pytest

from service.jobs.kinds.growing_file import GrowingFile


@pytest.mark.parametrize("left_behind", [b"", b"half", b"0123456789" * 9])
def test_it_goes_on_where_it_was(tmp_path: Path, left_behind: bytes) -> None:
    path = tmp_path / "file"
    with GrowingFile(path, 0) as file:
        assert file.num_bytes == 0
        file.write(b"abc")
        file.write(b"")
        file.write(b"de")
        file.sync()
        assert (file.num_bytes, path.read_bytes()) == (5, b"abcde")
        file.write(left_behind)
    with GrowingFile(path, 5) as file:
        assert path.read_bytes() == b"abcde"
        file.write(b"f")
        assert file.num_bytes == 6
    assert path.read_bytes() == b"abcdef"
    with GrowingFile(path, 0):
        assert path.read_bytes() == b""
