import os
from pathlib import Path

import pytest

from service.jobs.errors import NotConfiguredError, UnusableDataError
from service.jobs.export_root import ExportRoot, require_export_root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with a folder, a file, and every way out of it that a file system has."""
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "exports"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "nowhere").symlink_to("none")
    (folder / "to-inner").symlink_to("inner")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def root(folder: Path, tmp_path: Path) -> ExportRoot:
    return ExportRoot(folder, tmp_path / "data")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("new", "new"),
        ("inner", "inner"),
        ("inner/new/deeper", "inner/new/deeper"),
        ("inner/../new", "new"),
        ("./new/", "new"),
        ("{root}/new", "new"),
        ("none/../new", "new"),
        ("Z\u00fcrich 1", "Z\u00fcrich 1"),
    ],
)
def test_what_lies_below_may_be_written(root: ExportRoot, folder: Path, path: str, expected: str) -> None:
    assert root.folder_at(path.format(root=folder)) == folder / expected


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("..", "does not lie below SANET_EXPORT_ROOT, below which jobs write"),
        ("../outside", "does not lie below"),
        ("inner/../../outside", "does not lie below"),
        ("{root}x", "does not lie below"),
        ("/tmp", "does not lie below"),
        ("//etc", "does not lie below"),
        (".", "is SANET_EXPORT_ROOT itself: name a folder below it"),
        ("inner/..", "is SANET_EXPORT_ROOT itself"),
        ("{root}", "is SANET_EXPORT_ROOT itself"),
        ("file", "'file' is a file: a folder was expected"),
        ("file/new", "'file' is a file: a folder was expected"),
        ("out", "'out' is a link, which is not followed"),
        ("out/new", "'out' is a link, which is not followed"),
        ("nowhere", "'nowhere' is a link"),
        ("to-inner/new", "'to-inner' is a link"),
        ("pipe", "'pipe' is neither a folder nor a regular file"),
        ("a\0b", "NUL character"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_nothing_leads_out(root: ExportRoot, folder: Path, path: str, said: str) -> None:
    with pytest.raises(UnusableDataError, match=said) as error:
        root.folder_at(path.format(root=folder))
    assert len(str(error.value)) < 400


def test_the_data_folder_is_not_written_even_below_the_root(folder: Path) -> None:
    root = ExportRoot(folder, folder / "inner" / "data")
    assert root.folder_at("inner/data-2") == folder / "inner" / "data-2"
    for path in ("inner/data", "inner/data/images", "inner/../inner/data/new"):
        with pytest.raises(UnusableDataError, match="lies in the service's data folder"):
            root.folder_at(path)


def test_a_link_in_a_folder_that_is_filled_again_is_refused(root: ExportRoot, folder: Path) -> None:
    (folder / "inner" / "images" / "ab").mkdir(parents=True)
    root.require_no_links(folder / "inner")
    root.require_no_links(folder / "absent")
    (folder / "inner" / "images" / "ab" / ".hidden").symlink_to(folder / "file")
    with pytest.raises(UnusableDataError, match=r"'inner/images/ab/\.hidden' is a link"):
        root.require_no_links(folder / "inner")


@pytest.mark.parametrize("name", ["none", "exports/file"])
def test_a_root_that_is_no_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"SANET_EXPORT_ROOT='{tmp_path}/{name}' is no folder"):
        ExportRoot(tmp_path / name, tmp_path / "data")


@pytest.mark.parametrize("name", ["exports", "exports/inner", "link-to-exports/inner"])
def test_a_root_in_the_data_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link-to-exports").symlink_to(folder)
    with pytest.raises(ValueError, match="lies in the data folder") as error:
        ExportRoot(tmp_path / name, folder)
    assert "\n" not in str(error.value)


def test_without_a_root_the_answer_says_what_to_set(root: ExportRoot) -> None:
    assert require_export_root(root) is root
    with pytest.raises(NotConfiguredError, match="set SANET_EXPORT_ROOT"):
        require_export_root(None)
