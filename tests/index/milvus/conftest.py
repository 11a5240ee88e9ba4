import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, Final

import pytest

from index.milvus.milvus_index import MilvusIndex
from index.milvus.options import MilvusOptions
from tests.index.milvus.server import MilvusServer
from tests.index.records import DIM, MODEL

OpenIndex = Callable[..., MilvusIndex]

_NUMBERS: Final = itertools.count()


@pytest.fixture(scope="package")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with closing(MilvusServer(tmp_path_factory.mktemp("milvus"))) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Of one test's collections."""
    return f"test_{next(_NUMBERS)}"


@pytest.fixture
def open_index(milvus: MilvusServer, prefix: str) -> Iterator[OpenIndex]:
    """Opens the test's index, as many processes do; options may be given."""
    with ExitStack() as stack:

        def opened(dim: int = DIM, **options: Any) -> MilvusIndex:
            given = {"prefix": prefix, "timeout_s": 60, **options}
            index = stack.enter_context(closing(MilvusIndex(MilvusOptions(milvus.uri, **given), MODEL, dim)))
            stack.callback(index.collection.drop)
            return index

        yield opened
