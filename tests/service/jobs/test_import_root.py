import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.jobs.errors import UnusableDataError
from service.jobs.import_root import ImportRoot, Listed

SECRET = b"not below the root"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with a file, and with every way out of it that a file system has."""
    (tmp_path / "secret.png").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(SECRET)
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a")
    (folder / "inner" / "b.png").write_bytes(b"b")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "link-inside.png").symlink_to("a.png")
    (folder / "link-nowhere.png").symlink_to("none.png")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "inner" / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe.png")
    return folder


@pytest.fixture
def root(folder: Path) -> ImportRoot:
    return ImportRoot(folder)


def read(root: ImportRoot, path: str, max_bytes: int = 100) -> bytes:
    return root.read(root.path_below(path), max_bytes)


@pytest.mark.parametrize(
    "path",
    [
        "a.png",
        "./a.png",
        "inner/../a.png",
        "inner//../a.png",
        "{root}/a.png",
        "{root}/../root/a.png",
        "inner/./../a.png",
    ],
)
def test_what_lies_below_is_read(root: ImportRoot, folder: Path, path: str) -> None:
    assert read(root, path.format(root=folder)) == b"a"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../secret.png", "does not lie below"),
        ("inner/../../secret.png", "does not lie below"),
        ("{root}/../secret.png", "does not lie below"),
        ("{root}x/a.png", "does not lie below"),
        ("{parent}/secret.png", "does not lie below"),
        ("/etc/passwd", "does not lie below"),
        ("/proc/self/environ", "does not lie below"),
        ("//etc/passwd", "does not lie below"),
        ("..", "does not lie below"),
        ("/", "does not lie below"),
        ("link.png", "is a link"),
        ("link-inside.png", "is a link"),
        ("link-nowhere.png", "is a link"),
        ("loop", "is a link"),
        ("loop/a.png", "goes through a link"),
        ("out/secret.png", "goes through a link"),
        ("out", "is a link"),
        ("inner/up/a.png", "goes through a link"),
        ("inner/up/inner/up/a.png", "goes through a link"),
        ("pipe.png", "neither a folder nor a regular file"),
        ("pipe.png/a", "neither a folder nor a regular file"),
        ("a.png/b", "there is nothing at"),
        ("a.png/../../secret.png", "does not lie below"),
        ("none.png", "there is nothing at"),
        ("none/a.png", "there is nothing at"),
        ("inner", "is a folder, not a file"),
        (".", "is a folder, not a file"),
        ("a\0.png", "has a NUL character"),
        ("x" * 300, "cannot be read: File name too long"),
        ("x/" * 3000 + "a", "there is nothing at"),
    ],
)
def test_nothing_leads_out(root: ImportRoot, folder: Path, path: str, said: str) -> None:
    with pytest.raises(UnusableDataError, match=said) as error:
        read(root, path.format(root=folder, parent=folder.parent))
    assert len(str(error.value)) < 300


def test_a_path_may_start_below_the_root(root: ImportRoot, folder: Path) -> None:
    inner = root.path_below("inner")
    assert root.path_below("../a.png", inner) == folder / "a.png"
    assert root.path_below(f"{folder}/a.png", inner) == folder / "a.png"
    with pytest.raises(UnusableDataError, match=r"'\.\./\.\./secret\.png' does not lie below"):
        root.path_below("../../secret.png", inner)


def test_sockets_and_devices_are_not_opened(root: ImportRoot, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        with pytest.raises(UnusableDataError, match="neither a folder nor a regular file"):
            read(root, "socket.png")
    opened: list[str] = []
    real_open = os.open

    def noted(path: str, flags: int, *further: int, dir_fd: int | None = None) -> int:
        opened.append(str(path))
        return real_open(path, flags, *further, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", noted)
    with pytest.raises(UnusableDataError):
        read(root, "pipe.png")  # opening it would wake who writes into it
    assert "pipe.png" not in opened
    assert read(root, "a.png") == b"a"
    assert "a.png" in opened


def test_a_link_that_takes_a_files_place_is_not_followed(
    root: ImportRoot, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its opening, a file becomes a link, and then a folder one."""
    real_stat = os.stat

    def swap(name: str) -> None:
        def then_swapped(path: str, **arguments: Any) -> os.stat_result:
            found = real_stat(path, **arguments)
            if path == name:
                (folder / name).rename(folder / "moved")
                (folder / name).symlink_to(folder.parent / ("outside" if name == "inner" else "secret.png"))
            return found

        monkeypatch.setattr(os, "stat", then_swapped)

    swap("a.png")
    with pytest.raises(UnusableDataError, match="is a link, which is not followed"):
        read(root, "a.png")
    swap("inner")
    with pytest.raises(UnusableDataError):
        read(root, "inner/secret.png")


def test_a_large_file_is_not_read_whole(root: ImportRoot, folder: Path) -> None:
    (folder / "large.png").write_bytes(b"x" * 101)
    with pytest.raises(UnusableDataError, match=r"'large\.png' is larger than 100 bytes"):
        read(root, "large.png")
    assert len(read(root, "large.png", 101)) == 101


def test_a_name_in_the_other_unicode_form_is_the_same_file(root: ImportRoot, folder: Path) -> None:
    (folder / "Zoe\u0308.png").write_bytes(b"decomposed")
    assert read(root, "Zo\u00eb.png") == b"decomposed"
    (folder / "\u00e9.png").symlink_to(folder.parent / "secret.png")
    with pytest.raises(UnusableDataError, match="is a link"):
        read(root, "e\u0301.png")


def test_the_root_itself_may_be_reached_through_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "to-root").symlink_to(folder)
    root = ImportRoot(tmp_path / "to-root")
    for path in ("a.png", f"{tmp_path}/to-root/a.png", f"{folder}/a.png"):
        assert read(root, path) == b"a"


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"SANET_IMPORT_ROOT='{tmp_path}/{name}' is no folder"):
        ImportRoot(tmp_path / name)


def test_a_walk_finds_files_in_order_and_says_what_it_does_not_follow(root: ImportRoot, folder: Path) -> None:
    for path in ("inner/a0.png", "inner-2/z.png", ".hidden/x.png", "__MACOSX/y.png", ".a.png"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).touch()
    found = list(root.walk(folder))
    files = [listed.path for listed in found if listed.problem is None]
    assert files == ["a.png", "inner/a0.png", "inner/b.png", "inner-2/z.png"]
    assert {listed.path: listed.problem for listed in found if listed.problem} == {
        "inner/up": "'inner/up' is a link, which is not followed",
        "link-inside.png": "'link-inside.png' is a link, which is not followed",
        "link-nowhere.png": "'link-nowhere.png' is a link, which is not followed",
        "link.png": "'link.png' is a link, which is not followed",
        "loop": "'loop' is a link, which is not followed",
        "out": "'out' is a link, which is not followed",
        "pipe.png": "'pipe.png' is neither a folder nor a regular file",
    }


def test_a_walk_goes_deeper_than_any_stack(tmp_path: Path) -> None:
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("x.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    found = list(ImportRoot(tmp_path).walk(tmp_path))
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # Python's own removal is recursive, pytest's too
    assert found == [Listed("d/" * depth + "x.png", None)]


def test_nothing_stays_open(root: ImportRoot, folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a.png", "link.png", "out/secret.png", "pipe.png", "none.png", "inner", "a.png/b"):
        with suppress(UnusableDataError):
            read(root, path)
    list(root.walk(folder))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
