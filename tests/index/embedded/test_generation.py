import os
from dataclasses import replace
from pathlib import Path

import pytest

from index.embedded.generation import Generation, current_folder, next_generation, other_generations, remove_others
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey

MODEL = ModelKey("ab" * 32, "float32")
OTHER = ModelKey("cd" * 32, "bf16")


def make(data_dir: Path, generation: Generation) -> Path:
    """A generation with a database and a snapshot."""
    folder = generation.folder(data_dir)
    (folder / "snapshot").mkdir(parents=True)
    for name in ("gallery.sqlite", "gallery.sqlite-wal", "gallery.sqlite-shm", "snapshot/manifest.json"):
        (folder / name).write_bytes(b"x")
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_without_the_file_it_is_the_data_folder_itself(tmp_path: Path) -> None:
    assert Generation.read(tmp_path) == Generation("", None)
    assert current_folder(tmp_path) == tmp_path
    assert Generation.read(tmp_path / "absent") == Generation()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    of_folder = Generation("", MODEL)
    of_folder.write(tmp_path)
    assert Generation.read(tmp_path) == of_folder
    assert current_folder(tmp_path) == tmp_path
    following = next_generation(tmp_path, OTHER)
    assert following == Generation("cdcdcdcdcdcdcdcd-bf16", OTHER, before="")
    make(tmp_path, following)
    following.write(tmp_path)
    assert Generation.read(tmp_path) == following
    assert current_folder(tmp_path) == tmp_path / "generations" / "cdcdcdcdcdcdcdcd-bf16"
    assert names(tmp_path) >= {"generation.json"}
    assert not (tmp_path / "generation.json.tmp").exists()


def test_the_next_one_never_has_the_name_of_the_one_that_serves(tmp_path: Path) -> None:
    """As where the settings named another model for a while, and its few records were outnumbered."""
    serving = Generation(next_generation(tmp_path, OTHER).name, MODEL)
    make(tmp_path, serving)
    serving.write(tmp_path)
    assert next_generation(tmp_path, OTHER).name == f"{serving.name}-again"
    again = next_generation(tmp_path, OTHER)
    make(tmp_path, again)
    again.write(tmp_path)
    assert Generation.read(tmp_path) == again


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"name": "", "fingerprint": "a"}',
        '{"name": 1, "fingerprint": "a", "precision": "float32", "before": null}',
        '{"name": "", "fingerprint": "a", "precision": "float32", "before": 1}',
        '{"name": "../elsewhere", "fingerprint": "a", "precision": "float32", "before": null}',
        '{"name": "/etc", "fingerprint": "a", "precision": "float32", "before": null}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_and_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "generation.json").write_text(text)
    with pytest.raises(GalleryError, match=r"generation.json is damaged"):
        Generation.read(tmp_path)
    with pytest.raises(GalleryError, match="damaged"):
        other_generations(tmp_path)


def test_a_generation_whose_folder_is_gone_is_said(tmp_path: Path) -> None:
    next_generation(tmp_path, OTHER).write(tmp_path)
    with pytest.raises(GalleryError, match="cdcdcdcdcdcdcdcd-bf16, which is missing"):
        Generation.read(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Generation("", MODEL).write(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GalleryError):
        Generation("", OTHER).write(tmp_path)
    assert Generation.read(tmp_path) == Generation("", MODEL)
    assert names(tmp_path) == {"generation.json"}


def test_others_are_named_and_removed_and_the_one_that_serves_stays(tmp_path: Path) -> None:
    make(tmp_path, Generation())
    assert other_generations(tmp_path) == []
    half_made = make(tmp_path, next_generation(tmp_path, MODEL))
    assert other_generations(tmp_path) == [half_made]
    assert remove_others(tmp_path, keep=half_made.name) == []
    serving = next_generation(tmp_path, OTHER)
    make(tmp_path, serving)
    serving.write(tmp_path)
    (tmp_path / "gallery.sqlite.layout-1").write_bytes(b"of an older program")
    assert other_generations(tmp_path) == [half_made, tmp_path / "gallery.sqlite"]
    assert remove_others(tmp_path, keep="") == [half_made, tmp_path / "gallery.sqlite"]
    assert other_generations(tmp_path) == []
    assert Generation.read(tmp_path) == replace(serving, before=None)
    kept = {f"generations/{serving.name}/{name}" for name in names(serving.folder(tmp_path))}
    assert names(tmp_path) == kept | {"generation.json", "gallery.sqlite.layout-1"}
    assert len(kept) == 4


def test_a_database_that_somebody_puts_into_the_data_folder_is_named_and_stays(tmp_path: Path) -> None:
    make(tmp_path, Generation())
    serving = next_generation(tmp_path, OTHER)
    make(tmp_path, serving)
    serving.write(tmp_path)
    remove_others(tmp_path, keep="")
    (tmp_path / "gallery.sqlite").write_bytes(b"out of a backup, by hand")
    assert other_generations(tmp_path) == [tmp_path / "gallery.sqlite"]
    assert remove_others(tmp_path, keep="") == []
    assert (tmp_path / "gallery.sqlite").exists()


def test_a_removal_that_was_interrupted_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, Generation())
    serving = next_generation(tmp_path, OTHER)
    make(tmp_path, serving)
    serving.write(tmp_path)

    def interrupted(_: Path) -> None:
        raise GalleryError("the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr("index.embedded.generation.remove_generation", interrupted)
        with pytest.raises(GalleryError, match="the disk refuses"):
            remove_others(tmp_path, keep="")
    (tmp_path / "gallery.sqlite-wal").unlink()
    assert remove_others(tmp_path, keep="") == [tmp_path / "gallery.sqlite"]
    assert remove_others(tmp_path, keep="") == []
