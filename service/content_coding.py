"""``Content-Encoding``: bodies come as they are; a compressed one would hide its size from every limit."""

from fastapi import Request
from starlette.exceptions import HTTPException


def require_plain_body(request: Request) -> None:
    """Refuses a body that its header calls compressed.

    Raises:
        HTTPException: 415, with the header that says what is taken.
    """
    coding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding not in ("", "identity"):
        detail = f"a body without Content-Encoding was expected, not {coding[:80]!r}: send it uncompressed"
        raise HTTPException(415, detail, headers={"Accept-Encoding": "identity"})
