"""Milvus' own client, without what importing it does besides: it reads a `.env` file, and logs what it raises."""

import logging
import os
from typing import Final

_NO_DOTENV: Final = "PYTHON_DOTENV_DISABLED"

# It looks for the file in every folder above its own, which is where a checkout has the settings of the service.
_before = os.environ.get(_NO_DOTENV)
os.environ[_NO_DOTENV] = "1"
try:
    from pymilvus import CollectionSchema, DataType, MilvusClient
    from pymilvus.exceptions import ErrorCode, MilvusException
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"a gallery in Milvus needs the extra `cluster`: {error}", name=error.name) from error
finally:
    if _before is None:
        del os.environ[_NO_DOTENV]
    else:
        os.environ[_NO_DOTENV] = _before

# It logs every failure with a traceback before it raises it; whoever catches it says it once.
for _name in ("pymilvus", "pymilvus.milvus_client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

__all__ = ["CollectionSchema", "DataType", "ErrorCode", "MilvusClient", "MilvusException"]
