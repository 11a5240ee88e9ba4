from pathlib import Path

import pytest

from index.embedded.backup.staged_folder import is_free, staged_folder
from index.gallery.errors import GalleryError


@pytest.mark.parametrize("exists", [True, False])
def test_it_appears_when_it_is_complete(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "deep" / "target"
    if exists:
        target.mkdir(parents=True)
    with staged_folder(target) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "one").write_text("1")
        assert folder != target
        assert not (target / "images").exists()
    assert [path.name for path in target.iterdir()] == ["images"]
    assert (target / "images" / "one").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with staged_folder(tmp_path / "target") as folder:
            (folder / "one").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_place_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "one").touch()
    (tmp_path / ".target.unfinished").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(GalleryError, match=r"\.target\.unfinished is a link: remove it"),
        staged_folder(tmp_path / "target"),
    ):
        pass
    assert (tmp_path / "precious" / "one").exists()
    assert not (tmp_path / "target").exists()


def test_what_was_killed_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".target.unfinished"
    (left / "images").mkdir(parents=True)
    (left / "gallery.sqlite").touch()
    with staged_folder(tmp_path / "target") as folder:
        assert folder == left
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert list((tmp_path / "target").iterdir()) == []


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "target") as folder:
        (folder / "one").touch()
        with pytest.raises(GalleryError, match="another process is filling"), staged_folder(tmp_path / "target"):
            pass
    assert (tmp_path / "target" / "one").exists()


def test_what_somebody_put_there_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def fill() -> None:
        with staged_folder(target):
            target.mkdir()
            (target / "mine").touch()

    with pytest.raises(GalleryError, match="not empty"):
        fill()
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "mine"]


def test_which_folders_are_free(tmp_path: Path) -> None:
    assert is_free(tmp_path)
    assert is_free(tmp_path / "absent")
    (tmp_path / "gallery.lock").touch()
    assert is_free(tmp_path)
    assert not is_free(tmp_path / "gallery.lock")
    (tmp_path / "images").mkdir()
    assert not is_free(tmp_path)
    (tmp_path / ".unfinished").mkdir()
    assert is_free(tmp_path)
    (tmp_path / "gallery.sqlite").touch()
    assert not is_free(tmp_path)
