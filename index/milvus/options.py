"""Where Milvus is, and how a collection is made there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

IndexType = Literal["FLAT", "GPU_BRUTE_FORCE", "IVF_FLAT", "HNSW"]

EXACT_INDEXES: Final = ("FLAT", "GPU_BRUTE_FORCE")
"""They compare a query with every row, so that an answer can be proven. The others may miss rows."""

_INDEX_TYPES: Final = (*EXACT_INDEXES, "IVF_FLAT", "HNSW")

_BUILD_PARAMS: Final[dict[str, dict[str, Any]]] = {
    "IVF_FLAT": {"nlist": 1024},
    "HNSW": {"M": 32, "efConstruction": 400},
}


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """How a `MilvusIndex` reaches its server, and what it asks for when it creates a collection.

    Attributes:
        uri: ``http://host:19530``, or ``https://..`` for TLS. Credentials do not belong into it.
        token: ``user:password`` or an API key; never shown.
        database: of the server; empty for its default.
        ca_file: PEM file with the authority that signed the server's certificate; None for those of the system.
        server_name: the name in that certificate, where it is not the host of the address.
        prefix: begins the names of all collections, so that several galleries share a server.
        index_type: FLAT is exact. GPU_BRUTE_FORCE is as FLAT on GPUs of the query nodes. IVF_FLAT and HNSW may miss
            neighbours, but the distances and the order of those they find are exact, too.
        build_params, search_params: of the index; empty for defaults.
        num_shards: writers of a collection.
        num_partitions: cameras are spread over so many partitions, of which a search for some cameras reads only
            theirs; 0 for one partition.
        num_replicas: copies of the rows in the memory of query nodes.
        timeout_s: seconds after which a call is given up.
        load_timeout_s: the same for creating and loading a collection.
        request_bytes: the largest message; Milvus refuses more than 64 MB unless its settings say otherwise.
    """

    uri: str
    token: str = field(default="", repr=False)
    database: str = ""
    ca_file: Path | None = None
    server_name: str = ""
    prefix: str = "sanet"
    index_type: IndexType = "FLAT"
    build_params: Mapping[str, Any] = field(default_factory=dict)
    search_params: Mapping[str, Any] = field(default_factory=dict)
    num_shards: int = 1
    num_partitions: int = 0
    num_replicas: int = 1
    timeout_s: float = 10.0
    load_timeout_s: float = 600.0
    request_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address of Milvus is http://host:port or https://host:port")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the address of Milvus holds no credentials: give them as the token, user:password")
        if parts.scheme == "http" and self.ca_file is not None:
            raise ValueError("a CA file is for https: write the address of Milvus with https://")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"the CA file of Milvus is not there: {self.ca_file}")
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", self.prefix):
            raise ValueError(f"a prefix is up to 100 letters, digits and _, and no digit first, not {self.prefix!r}")
        if self.index_type not in _INDEX_TYPES:
            raise ValueError(f"the index is one of {', '.join(_INDEX_TYPES)}, not {self.index_type!r}")
        for name, least in {"num_shards": 1, "num_partitions": 0, "num_replicas": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")
        for name in ("timeout_s", "load_timeout_s", "request_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.uri).netloc

    @property
    def is_exact(self) -> bool:
        """Whether the index compares a query with every row."""
        return self.index_type in EXACT_INDEXES

    @property
    def index_params(self) -> dict[str, Any]:
        """Those of the index's build that were given, or its defaults."""
        return dict(self.build_params) or dict(_BUILD_PARAMS.get(self.index_type, {}))
