import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest

from index.embedded.index_sizes import IndexSizes
from index.embedded.search.memory_index import MemoryIndex
from index.embedded.search.row_blocks import RowBlocks
from index.gallery.vector_index import VectorIndex
from index.milvus.milvus_index import MilvusIndex
from index.milvus.options import MilvusOptions
from tests.index.contract.record_stores import Place, PostgresPlace, SqlitePlace, Store
from tests.index.milvus.conftest import milvus
from tests.index.records import DIM, MODEL

__all__ = ["milvus"]

NewIndex = Callable[..., VectorIndex]

_NUMBERS: Final = itertools.count()


@pytest.fixture(params=["memory", "milvus"])
def new_index(request: pytest.FixtureRequest) -> Iterator[NewIndex]:
    """Makes empty indexes of embeddings of `dim` numbers, which are gone after the test."""
    with ExitStack() as stack:

        def in_memory(dim: int = DIM) -> VectorIndex:
            return stack.enter_context(closing(MemoryIndex(RowBlocks(dim, 2, IndexSizes(block_rows=50)))))

        def in_milvus(dim: int = DIM) -> VectorIndex:
            uri = request.getfixturevalue("milvus").uri
            options = MilvusOptions(uri, prefix=f"contract_{next(_NUMBERS)}", timeout_s=60)
            index = stack.enter_context(closing(MilvusIndex(options, MODEL, dim)))
            stack.callback(index.collection.drop)
            return index

        yield in_memory if request.param == "memory" else in_milvus


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield SqlitePlace(tmp_path)
        return
    place = PostgresPlace(request.getfixturevalue("postgres_server"))
    yield place
    place.remove()


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(place.open()) as store:
        yield store
