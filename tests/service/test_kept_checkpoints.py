import shutil
from pathlib import Path

import pytest

from model.checkpoint import CheckpointError, annotate_checkpoint, load_checkpoint, read_card
from service import kept_checkpoints
from service.kept_checkpoints import KeptCheckpoints


@pytest.fixture
def source(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(small_checkpoint, tmp_path / "given.safetensors"))


@pytest.fixture(autouse=True)
def _real_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service does: all other tests link."""

    def copy(source: Path, target: Path) -> None:
        shutil.copyfile(source, target)

    monkeypatch.setattr(kept_checkpoints, "_copy", copy)


def test_a_copy_outlives_what_is_written_over_its_source(source: Path, tmp_path: Path) -> None:
    copies, card = KeptCheckpoints(tmp_path), read_card(source)
    copies.keep(source, card.fingerprint)
    source.write_bytes(b"another checkpoint, written over it")
    kept = copies.load(card.fingerprint)
    assert kept is not None
    assert kept.card == card
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"{card.fingerprint}.safetensors"]


def test_a_copy_is_made_once_and_again_where_its_annotations_changed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, fingerprint = KeptCheckpoints(tmp_path), read_card(source).fingerprint
    copies.keep(source, fingerprint)
    annotate_checkpoint(source, evaluation={"cmc": {"1": 0.5}})
    copies.keep(source, fingerprint)
    assert read_card(copies.path(fingerprint)).evaluation == {"cmc": {"1": 0.5}}
    monkeypatch.setattr(kept_checkpoints, "_copy", lambda *_: pytest.fail("it is there already"))
    copies.keep(source, fingerprint)
    copies.keep(copies.path(fingerprint), fingerprint)  # as SANET_CHECKPOINT may name it


def test_another_model_by_now_is_not_kept_under_this_ones_name(source: Path, tmp_path: Path) -> None:
    copies = KeptCheckpoints(tmp_path)
    with pytest.raises(CheckpointError, match="is another one now"):
        copies.keep(source, "0" * 64)
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("damage", ["absent", "shorter", "a flipped byte", "another model's"])
def test_a_copy_that_cannot_be_used_is_none_and_the_log_says_why(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    copies, fingerprint = KeptCheckpoints(tmp_path), read_card(source).fingerprint
    copies.keep(source, fingerprint)
    path = copies.path(fingerprint)
    if damage == "absent":
        path.unlink()
    elif damage == "shorter":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "a flipped byte":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        fingerprint = "0" * 64
        path.rename(copies.path(fingerprint))
    assert copies.load(fingerprint) is None
    assert "is not to be had any more" in caplog.text


def test_copies_that_are_not_needed_go_and_other_files_stay(source: Path, tmp_path: Path) -> None:
    copies, fingerprint = KeptCheckpoints(tmp_path), read_card(source).fingerprint
    copies.remove_all_but([])  # of a folder without any
    copies.keep(source, fingerprint)
    folder = tmp_path / "checkpoints"
    for name in (f"{'0' * 64}.safetensors", f"{'1' * 64}.safetensors", f"{fingerprint}.tmp", "mine.safetensors"):
        (folder / name).write_bytes(b"x")
    copies.remove_all_but([fingerprint, "1" * 64])
    assert {path.name for path in folder.iterdir()} == {
        f"{fingerprint}.safetensors", f"{'1' * 64}.safetensors", "mine.safetensors",
    }  # fmt: skip
    assert load_checkpoint(copies.path(fingerprint)).card.fingerprint == fingerprint
