"""How many bytes of enrolments may be on their way in: a body is received whole before anything of it is checked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request


class UploadsBusyError(Exception):
    """Uploads that are under way leave no room for this one now; nothing of it was read."""

    retry_after_s = 5

    def __init__(self, num_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"an upload of up to {num_bytes:,} bytes came, and those under way leave room for {free_bytes:,}: "
            f"nothing of it was read; send it again in {self.retry_after_s} s, or less at once"
        )


class Uploads:
    """Room for the bodies of requests, given back when a request ends.

    Attributes:
        num_bytes: all of it.
        free_bytes: what is left now.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self.free_bytes = num_bytes
        self._lock = threading.Lock()

    @contextmanager
    def admit(self, num_bytes: int) -> Iterator[None]:
        """Room for one body, for as long as the block takes.

        Raises:
            UploadsBusyError: there is not so much now.
        """
        with self._lock:
            if num_bytes > self.free_bytes:
                raise UploadsBusyError(num_bytes, self.free_bytes)
            self.free_bytes -= num_bytes
        try:
            yield
        finally:
            with self._lock:
                self.free_bytes += num_bytes


def body_bytes(max_files_mb: int) -> int:
    """The largest body that may bring so many megabytes of files: there is room for the form around them."""
    return (max_files_mb + 1) * 1_000_000


def upload_bytes(request: Request, largest: int) -> int:
    """How large a request's body is by its header, or may be where it has none."""
    announced = request.headers.get("content-length")
    return int(announced) if announced is not None else largest
