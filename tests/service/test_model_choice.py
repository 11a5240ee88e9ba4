from contextlib import closing
from pathlib import Path

import pytest

from index.embedded.generation import Generation
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey
from model.checkpoint import read_card
from service.kept_checkpoints import KeptCheckpoints
from service.model_choice import choose_model, settle
from service.settings import Settings
from tests.index.records import record


@pytest.fixture
def settings(small_checkpoint: Path, tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")


@pytest.fixture
def wanted(settings: Settings) -> ModelKey:
    return ModelKey(read_card(settings.checkpoint).fingerprint, "float32")


def store_records(settings: Settings, *models: tuple[ModelKey, int]) -> None:
    """So many records of each model."""
    seed = 0
    with closing(SqliteRecordStore(settings.data_dir / "gallery.sqlite")) as store, store.transaction() as writer:
        for model, number in models:
            for _ in range(number):
                writer.insert(record(seed, model=model))
                seed += 1


def serve_by(settings: Settings, model: ModelKey, *, kept: Path | None) -> None:
    Generation("", model).write(settings.data_dir)
    if kept is not None:
        KeptCheckpoints(settings.data_dir).keep(kept, model.fingerprint)


def test_an_empty_folder_is_served_by_the_model_of_the_settings(settings: Settings, wanted: ModelKey) -> None:
    choice = choose_model(settings)
    assert (choice.model, choice.wanted) == (wanted, wanted)
    assert list(settings.data_dir.iterdir()) == []
    settle(choice, settings)
    assert Generation.read(settings.data_dir) == Generation("", wanted)
    assert KeptCheckpoints(settings.data_dir).load(wanted.fingerprint) is not None
    settle(choose_model(settings), settings)


def test_records_of_another_model_are_served_by_it_if_its_checkpoint_was_kept(
    settings: Settings, wanted: ModelKey, other_checkpoint: Path
) -> None:
    before = ModelKey(read_card(other_checkpoint).fingerprint, "float32")
    store_records(settings, (before, 3), (wanted, 2))
    serve_by(settings, before, kept=other_checkpoint)
    choice = choose_model(settings)
    assert (choice.model, choice.wanted, choice.checkpoint.card.fingerprint) == (before, wanted, before.fingerprint)
    settle(choice, settings)
    assert Generation.read(settings.data_dir).model == before
    assert not KeptCheckpoints(settings.data_dir).path(wanted.fingerprint).exists()


@pytest.mark.parametrize("numbers", [(2, 2), (0, 0), (0, 5)])
def test_where_the_new_model_has_as_many_records_it_serves(
    settings: Settings, wanted: ModelKey, other_checkpoint: Path, numbers: tuple[int, int]
) -> None:
    before = ModelKey(read_card(other_checkpoint).fingerprint, "float32")
    store_records(settings, (before, numbers[0]), (wanted, numbers[1]))
    serve_by(settings, before, kept=other_checkpoint)
    assert choose_model(settings).model == wanted


def test_without_a_copy_the_new_model_serves_and_the_log_says_so(
    settings: Settings, wanted: ModelKey, other_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = ModelKey(read_card(other_checkpoint).fingerprint, "float32")
    store_records(settings, (before, 3))
    serve_by(settings, before, kept=None)
    choice = choose_model(settings)
    assert (choice.model, choice.wanted) == (wanted, wanted)
    assert "is not to be had any more" in caplog.text
    settle(choice, settings)
    assert Generation.read(settings.data_dir).model == wanted


def test_another_precision_needs_no_copy(settings: Settings, wanted: ModelKey) -> None:
    store_records(settings, (wanted, 3))
    serve_by(settings, wanted, kept=None)
    choice = choose_model(settings.model_copy(update={"precision": "bf16"}))
    assert (choice.model, choice.wanted) == (wanted, ModelKey(wanted.fingerprint, "bf16"))


def test_a_folder_that_says_something_else_by_now_is_not_opened(settings: Settings, wanted: ModelKey) -> None:
    choice = choose_model(settings)
    Generation("", ModelKey("0" * 64, "bf16")).write(settings.data_dir)
    with pytest.raises(GalleryError, match="another process has changed"):
        settle(choice, settings)


def test_a_disk_that_takes_no_copy_does_not_keep_the_service_from_starting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.kept_checkpoints._copy", full)
    settle(choose_model(settings), settings)
    assert "no copy of the checkpoint can be kept" in caplog.text
    monkeypatch.setattr(Generation, "write", full)
    (settings.data_dir / "generation.json").unlink()
    settle(choose_model(settings), settings)


@pytest.mark.parametrize(("precision", "chosen"), [("auto", "bf16"), ("float32", "float32")])
def test_without_a_precision_of_the_settings_the_gallery_goes_on_in_its_own(
    settings: Settings, wanted: ModelKey, monkeypatch: pytest.MonkeyPatch, precision: str, chosen: str
) -> None:
    monkeypatch.setattr("model.precision.is_native", lambda device, precision: True)
    kept = ModelKey(wanted.fingerprint, "bf16")
    store_records(settings, (kept, 3), (wanted, 1))
    choice = choose_model(settings.model_copy(update={"precision": precision}))
    assert choice.wanted.precision == chosen
    assert choose_model(settings.model_copy(update={"precision": "auto"})).model == kept


def test_a_generation_without_records_says_nothing_of_the_precision(
    settings: Settings, wanted: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.precision.is_native", lambda device, precision: True)
    store_records(settings, (wanted, 2))
    serve_by(settings, ModelKey(wanted.fingerprint, "bf16"), kept=None)
    assert choose_model(settings.model_copy(update={"precision": "auto"})).wanted == wanted
