"""Requests as bytes, made before anything is timed."""

from collections.abc import Sequence
from typing import Final

_BOUNDARY: Final = "a-boundary-of-the-benchmark"


def get(path: str) -> bytes:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode()


def post_files(path: str, field: str, files: Sequence[bytes]) -> bytes:
    """A form whose `field` has these JPEG files."""
    parts = []
    for number, file in enumerate(files):
        disposition = f'Content-Disposition: form-data; name="{field}"; filename="{number}.jpg"'
        part = f"--{_BOUNDARY}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n"
        parts += [part.encode(), file, b"\r\n"]
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    media_type = f"multipart/form-data; boundary={_BOUNDARY}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
