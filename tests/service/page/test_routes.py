"""The page's files as they are sent: whole, compressed, unchanged, and no others."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest
from fastapi.testclient import TestClient

from service.page.routes import assets, policy
from service.settings import Settings
from tests.service.conftest import serve

STATIC = Path(__file__).resolve().parents[3] / "service" / "page" / "static"


@pytest.fixture(scope="module")
def client(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    data_dir = tmp_path_factory.mktemp("routes") / "data"
    with serve(Settings(checkpoint=small_checkpoint, data_dir=data_dir, device="cpu", auth="on")) as client:
        yield client


def test_the_page_needs_no_key_and_says_nothing_of_the_gallery(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (STATIC / "index.html").read_bytes()
    assert client.get("/gallery").status_code == 401


def test_the_page_may_run_and_call_nothing_but_its_own(client: TestClient) -> None:
    headers = client.get("/").headers
    directives = dict(one.strip().split(" ", 1) for one in headers["content-security-policy"].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["connect-src"] == directives["style-src"] == "'self'"
    assert directives["img-src"] == "'self' data: blob:"
    assert directives["frame-ancestors"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert re.fullmatch(r"'self' 'sha256-[\w+/]{43}='", directives["script-src"])
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_import_map_is_allowed_by_its_digest() -> None:
    html = '<script type="importmap">{}</script>'
    # printf '{}' | openssl dgst -sha256 -binary | base64
    assert "'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o='" in policy(html)
    assert policy(html) != policy(html.replace("{}", "{ }"))


@pytest.mark.parametrize("path", sorted(assets()))
def test_every_file_is_sent_as_it_is(client: TestClient, path: str) -> None:
    address = "/" if path == "index.html" else f"/page/{path}"
    content = (STATIC / path).read_bytes()
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == content
    assert "content-encoding" not in plain.headers
    with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as zipped:
        raw = b"".join(zipped.iter_raw())
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == content
    expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    assert plain.headers["content-type"].split(";")[0] == expected[Path(path).suffix]
    assert plain.headers["vary"] == "Accept-Encoding"


def test_what_did_not_change_is_not_sent_again(client: TestClient) -> None:
    for address in ("/", "/page/main.js"):
        first = client.get(address)
        assert first.headers["cache-control"] == "no-cache"
        again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        changed = client.get(address, headers={"If-None-Match": '"0123"'})
        assert (changed.status_code, changed.content) == (200, first.content)
    assert client.get("/").headers["etag"] != client.get("/page/main.js").headers["etag"]


def test_head_has_the_headers_alone(client: TestClient) -> None:
    for address in ("/", "/page/main.js"):
        head, whole = client.head(address), client.get(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "..%2Froutes.py",
        "..%2f..%2fsettings.py",
        "%2e%2e/routes.py",
        "shell/..%2F..%2Froutes.py",
        "%2Fetc%2Fpasswd",
        "index.html",
        "vendor/README.md",
        "shell",
        "shell/",
        "",
        "main.js%00",
        "MAIN.JS",
        "nothing.js",
    ],
)
def test_nothing_else_can_be_asked_for(client: TestClient, path: str) -> None:
    answer = client.get(f"/page/{path}")
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_changes_something_is_not_for_the_page(client: TestClient) -> None:
    assert client.post("/").status_code == 405
    assert client.delete("/page/main.js").status_code == 405


def test_every_file_that_one_names_is_there() -> None:
    index = (STATIC / "index.html").read_text()
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', index, re.DOTALL)
    bare = {name: path.removeprefix("./page/") for name, path in json.loads(import_map)["imports"].items()}
    named = {path.removeprefix("page/") for path in re.findall(r'(?:href|src)="(page/[^"]+)"', index)}
    assert len(named) > 5
    for path in (path for path in assets() if path.endswith(".js")):
        text = (STATIC / path).read_text()
        statements = re.findall(r'(?:^|[;}])\s*(?:import|export)\b[^;"]*\bfrom\s*"([^"]+)"', text, re.MULTILINE)
        for module in statements + re.findall(r'\bimport\(\s*"([^"]+)"', text):
            named.add(bare[module] if module in bare else normpath(join(dirname(path), module)))
    assert sorted(named - assets().keys()) == []
    # And none lies there for nothing.
    assert sorted(assets().keys() - named - {"index.html"}) == []


def test_no_file_names_another_host() -> None:
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML"}
    for path in assets():
        found = set(re.findall(r"https?://[^\s\"'`)]+", (STATIC / path).read_text()))
        assert found <= namespaces, path


def test_no_file_writes_markup_or_runs_text() -> None:
    for path in assets():
        if path.startswith("vendor/"):
            continue
        text = (STATIC / path).read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, f"{path}: {word}"
        assert not re.search(r'<[a-z]+[^>]* style="', text), path
