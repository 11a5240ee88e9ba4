"""``GET /`` and the files that it loads."""

import base64
import gzip
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(__file__).with_name("static")
_GZIP_LEVEL: Final = 9
# Not what the machine's own tables say: a browser runs no script that is called otherwise.
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file of the page, as it is sent."""

    content: bytes
    gzipped: bytes
    media_type: str
    etag: str


@router.get("/")
async def home(request: Request) -> Response:
    """The page; it tells nothing of the gallery, and asks for a key where one is needed."""
    index = assets()["index.html"]
    return _answer(request, index, {"Content-Security-Policy": policy(index.content.decode())})


@router.get("/page/{path:path}")
async def asset(request: Request, path: str) -> Response:
    """A script, a style sheet or an icon of the page."""
    found = assets().get(path)
    if found is None or path == "index.html":
        raise HTTPException(404)
    return _answer(request, found, {})


def policy(html: str) -> str:
    """What the page may do: run its own files and its one import map, show this service's images, and call it."""
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )


@cache
def assets() -> dict[str, Asset]:
    """All files of the page by their path below the folder: nothing else can be asked for."""
    return {
        path.relative_to(_FOLDER).as_posix(): _read(path)
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file() and path.suffix != ".md"
    }


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Asset(content, gzip.compress(content, _GZIP_LEVEL, mtime=0), _MEDIA_TYPES[path.suffix], etag)


def _answer(request: Request, found: Asset, headers: dict[str, str]) -> Response:
    """Unchanged files cost no bytes; a new version of the service is seen at the next load."""
    headers |= {"ETag": found.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = found.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = found.gzipped
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=found.media_type, headers=headers)
