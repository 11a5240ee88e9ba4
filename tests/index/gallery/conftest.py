import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from index.gallery.gallery import Gallery
from tests.index.gallery.backends import Backend, FolderBackend, MemoryBackend, MilvusBackend, PostgresBackend
from tests.index.milvus.server import MilvusServer
from tests.index.records import enrolment

_NUMBERS: Final = itertools.count()


@pytest.fixture(scope="package")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with closing(MilvusServer(tmp_path_factory.mktemp("milvus"))) as server:
        yield server


@pytest.fixture(params=["folder", "postgresql", "memory", pytest.param("milvus", marks=pytest.mark.trial)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "folder":
        yield FolderBackend(tmp_path / "data")
    elif request.param == "postgresql":
        yield PostgresBackend(request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_url"))
    elif request.param == "memory":
        yield MemoryBackend()
    else:
        with closing(MilvusBackend(request.getfixturevalue("milvus").uri, f"gallery_{next(_NUMBERS)}")) as backend:
            yield backend


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
