import os
from pathlib import Path

import pytest

from index.datasets.image_folder import find_images, is_image_file

JPEG = b"\xff\xd8\xff\xe0"
PNG = b"\x89PNG\r\n\x1a\n"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "
TIFF = b"II*\x00"


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPG", "a.jpeg", "a.jfif", "a.jpe", "a.mpo", "a", "a.dat", "a.png.jpg", "ü.jpg", "a b.jpg"]
)
@pytest.mark.parametrize("content", [JPEG, PNG, WEBP, TIFF, JPEG + bytes(5000)], ids=len)
def test_an_image_is_known_by_its_first_bytes_whatever_it_is_called(tmp_path: Path, name: str, content: bytes) -> None:
    found = find_images(put(tmp_path, {f"van/{name}": content}))
    assert (found.images, found.warnings) == ([f"van/{name}"], [])


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"no image", b"GIF89a", b"RIFF\x00\x00\x00\x00WAVE", bytes(100)])
def test_what_is_no_image_is_counted_and_named_whatever_it_is_called(tmp_path: Path, content: bytes) -> None:
    found = find_images(put(tmp_path, {"van/1.jpg": JPEG, "van/2.jpg": content, "notes": content}))
    assert found.images == ["van/1.jpg"]
    assert found.warnings == ["files in no format that is read, left out: 2 (notes, van/2.jpg)"]
    assert not is_image_file(tmp_path / "notes")


@pytest.mark.parametrize(
    "name",
    [
        "._1.jpg", ".1.jpg", ".ipynb_checkpoints/1.jpg", "__MACOSX/van/1.jpg", "van/@eaDir/1.jpg", "Thumbs.db",
        "van/desktop.ini", ".DS_Store", "van/.hidden/deep/1.jpg", "THUMBS.DB", "$RECYCLE.BIN/1.jpg", "#recycle/1.jpg",
    ],
)  # fmt: skip
def test_hidden_files_and_what_programs_leave_do_not_count(tmp_path: Path, name: str) -> None:
    found = find_images(put(tmp_path, {"van/1.jpg": JPEG, name: JPEG}))
    assert (found.images, found.warnings) == (["van/1.jpg"], [])


def test_a_hidden_folder_that_is_asked_for_is_read(tmp_path: Path) -> None:
    assert find_images(put(tmp_path / ".data", {"1.jpg": JPEG})).images == ["1.jpg"]


def test_images_are_sorted_part_by_part(tmp_path: Path) -> None:
    names = ["a-b/1.jpg", "a/2.jpg", "a/10.jpg", "b.jpg", "a/b/1.jpg"]
    found = find_images(put(tmp_path, dict.fromkeys(names, JPEG)))
    expected = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jpg"))
    assert found.images == [path.as_posix() for path in expected]


def test_only_the_first_are_named(tmp_path: Path) -> None:
    found = find_images(put(tmp_path, {"1.jpg": JPEG} | {f"{i}.txt": b"text" for i in range(9)}))
    expected = "files in no format that is read, left out: 9 (0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more)"
    assert found.warnings == [expected]


def test_folders_without_an_image_are_named_the_uppermost_alone(tmp_path: Path) -> None:
    put(tmp_path, {"1/a.jpg": JPEG, "2/b.txt": b"text", "3/deep/.c.jpg": JPEG, "4/deep/d.jpg": JPEG, "4/e/f.txt": b""})
    (tmp_path / "5").mkdir()
    assert find_images(tmp_path).warnings == [
        "files in no format that is read, left out: 2 (2/b.txt, 4/e/f.txt)",
        "folders without an image: 4 (2, 3, 4/e, 5)",
    ]


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path, {"elsewhere/car2/0.jpg": JPEG, "elsewhere/1.jpg": JPEG, "data/car1/0.jpg": JPEG})
    (tmp_path / "data" / "car2").symlink_to("../elsewhere/car2")
    (tmp_path / "data" / "car1" / "1.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "link").symlink_to("data")
    for folder in ("data", "link"):
        found = find_images(tmp_path / folder)
        assert (found.images, found.warnings) == (["car1/0.jpg", "car1/1.jpg", "car2/0.jpg"], [])


def test_a_folder_that_is_reached_in_two_ways_is_read_twice(tmp_path: Path) -> None:
    put(tmp_path, {"train/van/1.jpg": JPEG})
    (tmp_path / "test").symlink_to("train")
    assert find_images(tmp_path).images == ["test/van/1.jpg", "train/van/1.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../../data"])
def test_a_link_back_up_is_named_and_not_followed(tmp_path: Path, target: str) -> None:
    folder = put(tmp_path / "data", {"van/1.jpg": JPEG})
    (folder / "van" / "again").symlink_to(target)
    found = find_images(folder)
    if target == "../..":  # above the data: followed, until it comes back to it
        assert found.images == ["van/1.jpg"]
        where = "van/again/data"
    else:
        assert found.images == ["van/1.jpg"]
        where = "van/again"
    assert f"links back to a folder that they lie in, not followed: 1 ({where})" in found.warnings


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    put(tmp_path, {"a/1.jpg": JPEG, "b/2.jpg": JPEG})
    (tmp_path / "a" / "to_b").symlink_to("../b")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    found = find_images(tmp_path)
    assert found.images == ["a/1.jpg", "a/to_b/2.jpg", "b/2.jpg", "b/to_a/1.jpg"]
    (warning,) = found.warnings
    assert warning.endswith("not followed: 2 (a/to_b/to_a, b/to_a/to_b)")


def test_a_link_to_nowhere_and_to_itself_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"van/1.jpg": JPEG})
    (tmp_path / "van" / "2.jpg").symlink_to("gone.jpg")
    (tmp_path / "itself").symlink_to("itself")
    found = find_images(tmp_path)
    assert (found.images, found.warnings) == (
        ["van/1.jpg"],
        ["links that lead nowhere, left out: 2 (itself, van/2.jpg)"],
    )


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    put(tmp_path, {"1.jpg": JPEG})
    os.mkfifo(tmp_path / "2.jpg")
    assert find_images(tmp_path).warnings == ["files in no format that is read, left out: 1 (2.jpg)"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"1.jpg": JPEG, "2.jpg": JPEG, "van/3.jpg": JPEG})
    (tmp_path / "2.jpg").chmod(0)
    (tmp_path / "van").chmod(0)
    try:
        found = find_images(tmp_path)
    finally:
        (tmp_path / "van").chmod(0o700)
    assert found.images == ["1.jpg"]
    assert "files and folders that cannot be opened, left out: 2 (2.jpg, van)" in found.warnings


@pytest.mark.parametrize("folder", ["absent", "1.jpg"])
def test_what_is_no_folder_is_an_error(tmp_path: Path, folder: str) -> None:
    put(tmp_path, {"1.jpg": JPEG})
    with pytest.raises(OSError, match=folder):
        find_images(tmp_path / folder)


def test_a_name_that_is_no_utf_8_is_found(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(JPEG)
    (path,) = find_images(tmp_path).images
    assert (tmp_path / path).read_bytes() == JPEG
