import threading
import time
from pathlib import Path

import filelock
import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import State

from index.gallery.errors import GalleryError
from index.gallery.gallery import Gallery
from model.embedder import Embedder
from model.embeddings import EmbeddingError
from service.app import create_app
from service.device import DeviceError
from service.engine import Engine
from service.instruments.instruments import Instruments
from service.opening import Opening
from service.settings import Settings


@pytest.fixture
def settings(small_checkpoint: Path, tmp_path: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")


def wait_for(event: threading.Event) -> None:
    assert event.wait(30)


def test_the_engine_is_there_once_it_is_open_and_gone_once_it_is_closed(settings: Settings) -> None:
    state = State()
    opening = Opening(settings, state, lambda error: pytest.fail(str(error)))
    assert not opening.unfinished()
    opening.start()
    while state.engine is None:
        time.sleep(0.01)
    assert opening.unfinished()
    opening.end()
    assert state.engine is None
    assert not opening.unfinished()


def test_an_engine_that_opens_after_the_end_is_closed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Late:
        def close(self) -> None:
            closed.set()

    def slow(settings: Settings, instruments: Instruments) -> Late:
        begun.set()
        wait_for(go_on)
        return Late()

    monkeypatch.setattr(Engine, "open", slow)
    app = create_app(settings, lambda error: pytest.fail(str(error)))
    with TestClient(app) as client:
        wait_for(begun)
        assert client.get("/readyz").status_code == 503
    # The application has ended and did not wait.
    assert app.state.opening.unfinished()
    assert not closed.is_set()
    go_on.set()
    wait_for(closed)
    app.state.opening._thread.join()
    assert not app.state.opening.unfinished()


def nothing_stays_open(settings: Settings, before: set[threading.Thread]) -> None:
    left = {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()}
    assert not {name for name in left if name.startswith(("embedding-worker", "decode", "search", "write", "read"))}
    if settings.data_dir.exists():
        filelock.FileLock(settings.data_dir / "gallery.lock").acquire(timeout=0)


@pytest.mark.parametrize("broken", ["Pools", "EmbeddingWorker", "HeldoutEvaluation"])
def test_what_was_opened_is_closed_where_a_later_step_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError(f"no {broken}")

    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        module = "loaded_model" if broken == "EmbeddingWorker" else "engine"
        patch.setattr(f"service.{module}.{broken}", fails)
        with pytest.raises(ValueError, match=f"no {broken}"):
            Engine.open(settings)
    nothing_stays_open(settings, before)


def test_what_was_opened_is_closed_where_the_very_last_step_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "warnings", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Engine.open(settings)
    nothing_stays_open(settings, before)
    Engine.open(settings).close()


def test_a_gallery_that_cannot_be_opened_leaves_nothing_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "_catch_up", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Engine.open(settings)
    nothing_stays_open(settings, before)
    (settings.data_dir / "gallery.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(GalleryError):
        Engine.open(settings)
    nothing_stays_open(settings, before)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (EmbeddingError("not finite"), EmbeddingError, "small.safetensors on cpu in float32: not finite"),
        (
            RuntimeError("CUDA error: no kernel image\nCompile with TORCH_USE_CUDA_DSA"),
            DeviceError,
            "the network does not run on cpu in float32: CUDA error: no kernel image",
        ),
        (MemoryError(), DeviceError, "the network does not run on cpu in float32: there is not enough memory"),
    ],
)
def test_a_network_that_does_not_run_ends_the_start_with_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], said: str
) -> None:
    def fails(self: Embedder, images: object) -> None:
        raise error

    monkeypatch.setattr(Embedder, "embed_prepared", fails)
    with pytest.raises(kind) as failed:
        Engine.open(settings)
    assert str(failed.value).endswith(said)
    assert "\n" not in str(failed.value)
    assert not settings.data_dir.exists()
