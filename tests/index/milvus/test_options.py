from pathlib import Path
from typing import Any

import pytest

from index.milvus.options import MilvusOptions

URI = "http://milvus:19530"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uri": "gallery.db"}, "the address of Milvus is http://host:port"),
        ({"uri": "http://"}, "the address of Milvus is http://host:port"),
        ({"uri": "http://root:secret@milvus:19530"}, "holds no credentials"),
        ({"ca_file": Path("ca.pem")}, "a CA file is for https"),
        ({"uri": "https://milvus", "ca_file": Path("ca.pem")}, "the CA file of Milvus is not there: ca.pem"),
        ({"prefix": "1a"}, "a prefix is up to 100 letters"),
        ({"prefix": "a-b"}, "a prefix is up to 100 letters"),
        ({"prefix": "a" * 101}, "a prefix is up to 100 letters"),
        ({"prefix": ""}, "a prefix is up to 100 letters"),
        ({"index_type": "DISKANN"}, "the index is one of FLAT, GPU_BRUTE_FORCE, IVF_FLAT, HNSW, not 'DISKANN'"),
        ({"num_shards": 0}, "num_shards must be 1 or more, got 0"),
        ({"num_partitions": -1}, "num_partitions must be 0 or more, got -1"),
        ({"num_replicas": 0}, "num_replicas must be 1 or more, got 0"),
        ({"timeout_s": 0.0}, "timeout_s must be more than 0"),
        ({"timeout_s": float("nan")}, "timeout_s must be more than 0"),
        ({"request_bytes": 0}, "request_bytes must be more than 0"),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        MilvusOptions(**{"uri": URI, **changes})
    assert "secret" not in str(error.value)


def test_a_token_is_never_shown() -> None:
    options = MilvusOptions(URI, token="root:secret")
    assert "secret" not in repr(options)
    assert options.address == "milvus:19530"


@pytest.mark.parametrize(
    ("index_type", "is_exact"), [("FLAT", True), ("GPU_BRUTE_FORCE", True), ("IVF_FLAT", False), ("HNSW", False)]
)
def test_an_index_is_exact_or_not_and_has_defaults(index_type: Any, is_exact: bool) -> None:
    options = MilvusOptions(URI, index_type=index_type)
    assert options.is_exact == is_exact
    assert bool(options.index_params) == (not is_exact)
    assert MilvusOptions(URI, index_type=index_type, build_params={"nlist": 7}).index_params == {"nlist": 7}
