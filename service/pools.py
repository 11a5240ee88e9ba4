"""The threads that do what would keep the event loop from answering: decoding, searching, writing."""

import os
from concurrent.futures import ThreadPoolExecutor


class Pools:
    """One pool for each kind of work, so that none of it waits behind all of another.

    Attributes:
        decode_query, decode_enrol: decoding, cutting, resizing and drawing images.
        search: searching the gallery, which lets one search through at a time but reads records beside it.
        write: enrolling; one thread, because the gallery takes one write at a time.
    """

    def __init__(self) -> None:
        self.decode_query = ThreadPoolExecutor(os.cpu_count(), "decode-query")
        self.decode_enrol = ThreadPoolExecutor(os.cpu_count(), "decode-enrol")
        self.search = ThreadPoolExecutor(4, "search")
        self.write = ThreadPoolExecutor(1, "write")

    def close(self) -> None:
        """Waits for what is under way."""
        for pool in (self.decode_query, self.decode_enrol, self.search, self.write):
            pool.shutdown()
