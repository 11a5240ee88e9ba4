from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.gallery.gallery import Gallery
from tests.index.gallery.backends import Backend, FolderBackend, MemoryBackend
from tests.index.records import enrolment


@pytest.fixture(params=["folder", "memory"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return FolderBackend(tmp_path / "data") if request.param == "folder" else MemoryBackend()


@pytest.fixture
def gallery(backend: Backend) -> Iterator[Gallery]:
    with closing(backend.open()) as gallery:
        yield gallery


@pytest.fixture
def damaged(backend: Backend) -> Iterator[Gallery]:
    """Records 0 to 4 (seq 1 to 5), of which record 2 was damaged while the gallery was closed."""
    with closing(backend.open()) as gallery:
        gallery.enrol([enrolment(seed, identity="a" if seed < 3 else "b") for seed in range(5)])
    backend.damage(3)
    with closing(backend.open()) as gallery:
        yield gallery
