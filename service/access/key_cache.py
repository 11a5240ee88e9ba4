"""The keys as a service knows them: read again once a second, so that a command's changes count at once."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.access.key import Key
from service.access.key_store import read_keys

REFRESH_S: Final = 1.0


class KeyCache:
    """The keys of a data folder or a database, in the one thread of an event loop."""

    def __init__(self, data_dir: Path, database: str | None = None) -> None:
        self._data_dir, self._database = data_dir, database
        self._keys: Mapping[str, Key] = {}
        self._read_at = -REFRESH_S
        self._lock = asyncio.Lock()

    async def keys(self) -> Mapping[str, Key]:
        """All keys by their ids, as they were a second ago or later.

        Raises:
            KeyStoreError: they cannot be read. Those that were read before do not count then: one may be revoked.
        """
        if time.monotonic() - self._read_at >= REFRESH_S:
            async with self._lock:
                if time.monotonic() - self._read_at >= REFRESH_S:
                    began_at = time.monotonic()
                    self._keys = await asyncio.to_thread(read_keys, self._data_dir, self._database)
                    self._read_at = began_at
        return self._keys
