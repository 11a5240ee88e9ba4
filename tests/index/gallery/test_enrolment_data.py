from pathlib import Path

import pytest

from index.datasets.manifest import Entry, ManifestError, write_manifest
from index.datasets.protocol import Protocol
from index.gallery.enrolment_data import open_enrolment_data
from tests.conftest import png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    for i, name in enumerate(("van/1.png", "van/2", "deep/bus/3.png", "4.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(i))
    return folder


def test_every_image_of_a_folder_is_a_vehicle_without_identity(folder: Path) -> None:
    (folder / "notes.txt").write_text("text")
    manifest, unusable = open_enrolment_data(folder)
    assert manifest.folder == folder
    assert manifest.entries == tuple(map(Entry, ("4.png", "deep/bus/3.png", "van/1.png", "van/2")))
    assert manifest.warnings == ("files in no format that is read, left out: 1 (notes.txt)",)
    assert unusable == []


def test_its_folder_is_an_images_identity_if_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"4.png": "crops", "deep/bus/3.png": "bus", "van/1.png": "van", "van/2": "van"}
    manifest, _ = open_enrolment_data(folder, identity_from_folder=True)
    assert {entry.path: entry.identity for entry in manifest.entries} == expected
    monkeypatch.chdir(folder)
    manifest, _ = open_enrolment_data(Path(), identity_from_folder=True)
    assert {entry.path: entry.identity for entry in manifest.entries} == expected


@pytest.mark.parametrize("name", ["van/1.png", "van/2"])
def test_an_image_is_one_vehicle(folder: Path, name: str) -> None:
    manifest, _ = open_enrolment_data(folder / name)
    assert (manifest.entries, manifest.folder) == ((Entry(Path(name).name),), folder / "van")
    manifest, _ = open_enrolment_data(folder / name, identity_from_folder=True)
    assert manifest.entries == (Entry(Path(name).name, "van"),)


@pytest.mark.parametrize("name", ["manifest.csv", "lines.csv", "lines.txt"])
def test_a_manifest_is_read_line_by_line(folder: Path, name: str) -> None:
    write_manifest(folder / name, [Entry("4.png", "van")], Protocol())
    with (folder / name).open("a") as file:
        file.write("too,few\n")
    manifest, unusable = open_enrolment_data(folder / name)
    assert (manifest.entries, len(unusable)) == ((Entry("4.png", "van"),), 1)
    if name == "manifest.csv":
        assert open_enrolment_data(folder) == (manifest, unusable)
    with pytest.raises(ManifestError, match="is a manifest: its column identity says who is who"):
        open_enrolment_data(folder / name, identity_from_folder=True)


def test_a_folder_without_images_is_an_error_that_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "1.gif").write_bytes(b"GIF89a")
    with pytest.raises(ManifestError) as raised:
        open_enrolment_data(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path} has neither a manifest.csv nor an image in it or below; files in no format that is read, "
        "left out: 1 (1.gif)"
    )


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no manifest at"):
        open_enrolment_data(tmp_path / "absent")
