from pathlib import Path

import pytest

from index.datasets.manifest import Entry, ManifestError
from index.datasets.protocol import Protocol
from training.data import training_data
from training.datasets.folder import read_folder

JPEG_HEAD = b"\xff\xd8\xff\xe0"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG_HEAD if path.suffix.lower() in IMAGE_SUFFIXES else b"text")
    return folder


def listed(folder: Path) -> list[tuple[str, str, str | None, str]]:
    return [(entry.path, entry.identity, entry.role, entry.split) for entry in read_folder(folder).entries]


def test_a_folder_is_an_identity(tmp_path: Path) -> None:
    home = touch(tmp_path / "home", "van/2.jpg", "van/1.jpg", "bus/1.jpg")
    manifest = read_folder(home)
    assert manifest.folder == home
    assert manifest.entries == (Entry("bus/1.jpg", "bus"), Entry("van/1.jpg", "van"), Entry("van/2.jpg", "van"))
    assert manifest.path_of(manifest.entries[0]) == home / "bus" / "1.jpg"
    assert manifest.protocol == Protocol(dataset="home")


def test_the_data_set_has_the_folders_name_however_it_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(touch(tmp_path / "home", "van/1.jpg"))
    assert read_folder(Path()).protocol.dataset == "home"


def test_a_split_and_a_role_stand_before_the_identity(tmp_path: Path) -> None:
    touch(
        tmp_path, "train/train/a/1.jpg", "val/query/b/1.jpg", "val/gallery/b/2.jpg", "test/query/c/1.jpg",
        "test/gallery/c/2.jpg", "test/distractor/d/1.jpg", "test/junk/e/1.jpg",
    )  # fmt: skip
    assert listed(tmp_path) == [
        ("test/distractor/d/1.jpg", "d", "distractor", "test"),
        ("test/gallery/c/2.jpg", "c", "gallery", "test"),
        ("test/junk/e/1.jpg", "e", "junk", "test"),
        ("test/query/c/1.jpg", "c", "query", "test"),
        ("train/train/a/1.jpg", "a", "train", "train"),
        ("val/gallery/b/2.jpg", "b", "gallery", "val"),
        ("val/query/b/1.jpg", "b", "query", "val"),
    ]


def test_a_role_needs_no_split(tmp_path: Path) -> None:
    touch(tmp_path, "query/a/1.jpg", "gallery/a/2.jpg")
    assert listed(tmp_path) == [("gallery/a/2.jpg", "a", "gallery", ""), ("query/a/1.jpg", "a", "query", "")]


def test_the_split_train_is_for_training(tmp_path: Path) -> None:
    assert listed(touch(tmp_path, "train/a/1.jpg")) == [("train/a/1.jpg", "a", "train", "train")]


@pytest.mark.parametrize("split", ["val", "test"])
def test_without_roles_the_first_image_of_an_identity_is_its_gallery(split: str, tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{name}.jpg" for name in ("a/3", "a/1", "a/2", "b/7")))
    assert listed(tmp_path) == [
        (f"{split}/a/1.jpg", "a", "gallery", split),
        (f"{split}/a/2.jpg", "a", "query", split),
        (f"{split}/a/3.jpg", "a", "query", split),
        (f"{split}/b/7.jpg", "b", "gallery", split),
    ]


def test_each_split_has_a_gallery_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "val/a/1.jpg", "val/a/2.jpg", "test/a/1.jpg", "test/a/2.jpg")
    roles = {path: role for path, _, role, _ in listed(tmp_path)}
    assert roles == {
        "train/a/1.jpg": "train",
        "val/a/1.jpg": "gallery",
        "val/a/2.jpg": "query",
        "test/a/1.jpg": "gallery",
        "test/a/2.jpg": "query",
    }


def test_folders_below_an_identity_would_split_it_and_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "0001/camera-1/1.jpg", "0001/camera-2/1.jpg")
    with pytest.raises(ManifestError, match="lies in no identity's folder: expected"):
        read_folder(tmp_path)


def test_splits_and_roles_count_at_the_beginning_only(tmp_path: Path) -> None:
    touch(tmp_path, "van/1.jpg", "query/query/1.jpg", "query/test/1.jpg")
    assert listed(tmp_path) == [
        ("query/query/1.jpg", "query", "query", ""),
        ("query/test/1.jpg", "test", "query", ""),
        ("van/1.jpg", "van", None, ""),
    ]


def test_capitals_in_a_suffix_are_the_same(tmp_path: Path) -> None:
    names = ["van/1.JPG", "van/2.Jpeg", "van/3.PNG", "van/4.WebP"]
    assert [path for path, *_ in listed(touch(tmp_path, *names))] == names


def test_other_files_are_passed_by(tmp_path: Path) -> None:
    touch(tmp_path, "van/1.jpg", "van/1.jpg.txt", "van/notes.txt", "van/2.gif", "van/jpg", "Thumbs.db", "README")
    assert listed(tmp_path) == [("van/1.jpg", "van", None, "")]


@pytest.mark.parametrize("role", ["distractor", "junk"])
def test_distractors_and_junk_need_no_identity(role: str, tmp_path: Path) -> None:
    touch(tmp_path, f"test/{role}/1.jpg", f"{role}/2.jpg")
    assert sorted(listed(tmp_path)) == [(f"{role}/2.jpg", "", role, ""), (f"test/{role}/1.jpg", "", role, "test")]


@pytest.mark.parametrize("name", ["1.jpg", "train/1.jpg", "test/1.jpg", "query/1.jpg", "test/gallery/1.jpg"])
def test_an_image_in_no_identitys_folder_is_an_error_that_says_where_it_belongs(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "van/1.jpg", name)
    with pytest.raises(ManifestError) as raised:
        read_folder(tmp_path)
    expected = f"expected {tmp_path}/[split/][role/]<identity>/<image>"
    assert str(raised.value) == f"{tmp_path / name} lies in no identity's folder: {expected}"


def test_a_folder_without_images_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "van/notes.txt")
    with pytest.raises(ManifestError) as raised:
        read_folder(tmp_path)
    for expected in (str(tmp_path), "manifest.csv", "JPEG", "PNG", "WEBP", "a folder per identity"):
        assert expected in str(raised.value)


def test_a_folder_with_all_splits_trains_on_one_and_validates_on_another(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg", "val/c/2.jpg", "test/d/1.jpg", "test/d/2.jpg")
    data = training_data(read_folder(tmp_path), "auto")
    assert [entry.path for entry in data.entries] == ["train/a/1.jpg", "train/b/1.jpg"]
    assert data.validation is not None
    assert [entry.path for entry in data.validation.gallery] == ["val/c/1.jpg"]
    assert [entry.path for entry in data.validation.queries] == ["val/c/2.jpg"]


# As people have them.


def test_linked_identities_and_splits_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "data/test/car0/0.jpg", "data/test/car0/1.jpg", "elsewhere/car2/0.jpg", "elsewhere/car2/1.jpg")
    (tmp_path / "data" / "test" / "car2").symlink_to(tmp_path / "elsewhere" / "car2")
    expected = [
        ("test/car0/0.jpg", "car0", "gallery", "test"),
        ("test/car0/1.jpg", "car0", "query", "test"),
        ("test/car2/0.jpg", "car2", "gallery", "test"),
        ("test/car2/1.jpg", "car2", "query", "test"),
    ]
    assert listed(tmp_path / "data") == expected
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "test").symlink_to(tmp_path / "data" / "test")
    assert listed(tmp_path / "linked") == expected
    assert read_folder(tmp_path / "linked").warnings == ()


def test_hidden_folders_are_no_identities_and_any_ending_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "test/.ipynb_checkpoints/0-checkpoint.jpg", "test/a/._1.jpg", "__MACOSX/test/a/1.jpg")
    touch(tmp_path, "test/a/1.jpg")
    (tmp_path / "test" / "a" / "2.jfif").write_bytes(JPEG_HEAD)
    (tmp_path / "test" / "a" / "3").write_bytes(JPEG_HEAD)
    assert [(path, identity) for path, identity, *_ in listed(tmp_path)] == [
        ("test/a/1.jpg", "a"),
        ("test/a/2.jfif", "a"),
        ("test/a/3", "a"),
    ]
    assert read_folder(tmp_path).warnings == ()


def test_what_is_left_out_is_named_an_identity_too(tmp_path: Path) -> None:
    touch(tmp_path, "0001/a.jpg", "0002/notes.txt")
    (tmp_path / "0003").mkdir()
    (tmp_path / "0003" / "a.jpg").write_bytes(b"no image")
    manifest = read_folder(tmp_path)
    assert [entry.path for entry in manifest.entries] == ["0001/a.jpg"]
    assert manifest.warnings == (
        "files in no format that is read, left out: 2 (0002/notes.txt, 0003/a.jpg)",
        "folders without an image: 2 (0002, 0003)",
    )


def test_a_name_in_two_unicode_forms_is_one_identity(tmp_path: Path) -> None:
    touch(tmp_path, "train/Zo\u00eb/1.jpg", "train/Zoe\u0308/2.jpg")
    assert {identity for _, identity, *_ in listed(tmp_path)} == {"Zo\u00eb"}
