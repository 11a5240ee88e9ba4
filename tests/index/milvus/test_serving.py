import pytest

from index.gallery.errors import GalleryError
from index.milvus.connection import Connection
from index.milvus.milvus_index import MilvusIndex
from index.milvus.options import MilvusOptions
from index.milvus.serving import serve, serving_collection
from tests.index.milvus.server import MilvusServer
from tests.index.naive_search import EVERYTHING
from tests.index.records import DIM, MODEL, OTHER_MODELS, record


def test_another_model_takes_over_at_one_moment(milvus: MilvusServer, prefix: str) -> None:
    """The old one is searched until then, and what still holds it goes on with its own rows."""
    options = MilvusOptions(milvus.uri, prefix=prefix, timeout_s=60)
    connection = Connection(options)
    assert serving_collection(connection) is None
    old, new = MilvusIndex(options, MODEL, DIM), MilvusIndex(options, OTHER_MODELS[0], 2 * DIM)
    with pytest.raises(GalleryError, match=r"Milvus at 127.0.0.1:[0-9]+ refuses"):
        serve(connection, new.collection.name)
    old.add([(1, record(1))])
    serve(connection, old.collection.name)
    assert serving_collection(connection) == old.collection.name
    new.add([(seq, record(seq, embedding=record(seq).embedding.repeat(2))) for seq in (1, 2)])
    serve(connection, new.collection.name)
    assert serving_collection(connection) == new.collection.name
    assert (old.passing(EVERYTHING).tolist(), new.passing(EVERYTHING).tolist()) == ([1], [1, 2])
    old.collection.drop()
    assert serving_collection(connection) == new.collection.name
    old.close()
    new.close()
    connection.close()
