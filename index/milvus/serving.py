"""Which model's rows serve a gallery: an alias that moves at one moment when another model takes over."""

from index.milvus.connection import Connection


def serving_collection(connection: Connection) -> str | None:
    """The name of the collection that serves; None if none does yet.

    Every replica asks for it: the one whose model it names no more goes on with the new one.

    Raises:
        GalleryError: the server cannot be asked.
    """
    prefix = connection.options.prefix
    if not _is_there(connection, prefix):
        return None
    return str(connection.call("describe_alias", alias=prefix)["collection_name"])


def serve(connection: Connection, collection: str) -> None:
    """Lets a collection serve from now on: before this call the old one does, after it the new one.

    Raises:
        GalleryError: the server cannot be asked, or has no such collection.
    """
    prefix = connection.options.prefix
    method = "alter_alias" if _is_there(connection, prefix) else "create_alias"
    connection.call(method, collection_name=collection, alias=prefix)


def _is_there(connection: Connection, alias: str) -> bool:
    return alias in connection.call("list_aliases")["aliases"]
