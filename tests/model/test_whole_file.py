import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model.whole_file import whole_file


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def disk_is_full(*_: object) -> None:
    raise OSError("no space left on device")


def write_half(path: Path, error: BaseException) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_the_file_has_what_was_written_and_nothing_else_is_left(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new\x00\r\n")
    assert path.read_bytes() == b"new\x00\r\n"
    assert names(tmp_path) == {"file.bin"}


def test_it_is_written_beside_and_seen_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"old")
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path  # on the same disk, so that the rename is atomic
        assert temporary != path
        assert temporary.suffix == ".tmp"  # so that nobody takes what a kill left for a manifest
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_others_may_read_it(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError("half"), KeyboardInterrupt("half"), SystemExit("half")], ids=repr)
@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_an_interruption_leaves_what_was_there(tmp_path: Path, error: BaseException, old: bytes | None) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error), match="half"):
        write_half(path, error)
    assert names(tmp_path) == (set() if old is None else {"file"})
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, disk_is_full)
        with pytest.raises(OSError, match="no space"), whole_file(path) as temporary:
            temporary.write_bytes(b"new")
    assert names(tmp_path) == {"file"}
    assert path.read_bytes() == b"old"


def test_a_folder_in_its_place_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"), whole_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == {"file"}


def test_a_temporary_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file") as temporary:
        temporary.unlink()
    assert names(tmp_path) == set()


def test_its_bytes_are_synced_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file", []
    really: Callable[[int], None] = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, path.exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(path) as temporary:
        temporary.write_bytes(b"12345")
        assert synced == []
    assert synced == [(path.stat().st_ino, 5, False)]


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as first:
        first.write_bytes(b"1" * 1000)
        with whole_file(path) as second:
            second.write_bytes(b"2")
        assert path.read_bytes() == b"2"
    assert path.read_bytes() == b"1" * 1000
    assert names(tmp_path) == {"file"}


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, signal, sys; from model.whole_file import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
