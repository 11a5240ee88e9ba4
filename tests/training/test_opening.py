from pathlib import Path

import pytest

from index.datasets.manifest import Entry, ManifestError, write_manifest
from index.datasets.protocol import Protocol
from training.datasets.opening import KINDS, open_data

LINES = [Entry("frames/1.jpg", "van"), Entry("frames/2.jpg", "bus")]


def with_manifest(folder: Path, name: str = "manifest.csv") -> Path:
    """A folder with a manifest, and with an image in a folder per identity that the manifest does not name."""
    (folder / "other").mkdir(parents=True)
    (folder / "other" / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    write_manifest(folder / name, LINES, Protocol("by-hand", "none", 1))
    return folder


def paths(path: Path, dataset: str = "auto") -> list[str]:
    return [entry.path for entry in open_data(path, dataset).entries]


def test_a_file_is_a_manifest(tmp_path: Path) -> None:
    manifest = open_data(with_manifest(tmp_path, "lines.csv") / "lines.csv")
    assert manifest.entries == tuple(LINES)
    assert manifest.folder == tmp_path
    assert manifest.protocol == Protocol("by-hand", "none", 1)


def test_a_folder_with_a_manifest_is_that_manifest(tmp_path: Path) -> None:
    manifest = open_data(with_manifest(tmp_path))
    assert manifest.entries == tuple(LINES)
    assert manifest.protocol.dataset == "by-hand"


def test_a_folder_without_is_a_folder_per_identity(tmp_path: Path) -> None:
    assert open_data(with_manifest(tmp_path, "lines.csv")).entries == (Entry("other/1.jpg", "other"),)


def test_a_folder_called_like_a_manifest_is_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").mkdir()
    (tmp_path / "manifest.csv" / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert open_data(tmp_path).entries == (Entry("manifest.csv/1.jpg", "manifest.csv"),)


def test_what_lies_there_can_be_said(tmp_path: Path) -> None:
    folder = with_manifest(tmp_path)
    assert paths(folder, "folder") == ["other/1.jpg"]
    assert paths(folder, "manifest") == paths(folder / "manifest.csv", "manifest") == ["frames/1.jpg", "frames/2.jpg"]


@pytest.mark.parametrize("dataset", ["auto", *KINDS])
def test_nothing_there_is_an_error_that_says_what_was_expected(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        open_data(tmp_path / "absent", dataset)
    assert str(raised.value) == f"there is nothing at {tmp_path / 'absent'}: expected a manifest or a folder"


def test_a_folder_without_a_manifest_cannot_be_read_as_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        open_data(tmp_path, "manifest")
    assert str(raised.value) == f"there is no manifest at {tmp_path / 'manifest.csv'}"


def test_a_file_cannot_be_read_as_a_folder_per_identity(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="a folder per identity"):
        open_data(with_manifest(tmp_path) / "manifest.csv", "folder")
