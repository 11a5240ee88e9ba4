"""Texts and files that mean something to a browser, a database or a shell: here they are texts and files."""

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.conftest import picture, png
from tests.service.conftest import query

TEXTS = [
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>.svg',
    "'; DROP TABLE records; --",
    "x' OR '1'='1",
    "../../../etc/passwd",
    "$(touch /tmp/pwned) `id` | sh",
    "{{7*7}} ${7*7} %(x)s %s %n",
    '=HYPERLINK("http://evil.example")',
    "%0d%0aSet-Cookie: a=b",
    "javascript:alert(1)//",
]


@pytest.fixture(autouse=True)
def _others_stay(client: TestClient) -> Iterator[None]:
    files = {"images": ("other.png", png(99))}
    id_ = client.post("/gallery", files=files, data={"metadata": '[{"identity": "other"}]'}).json()["results"][0]["id"]
    yield
    assert client.get(f"/gallery/{id_}").json()["identity"] == "other"
    assert query(client, 99)["matches"][0]["id"] == id_


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_in_every_field_is_that_text(client: TestClient, text: str) -> None:
    vehicle = {"identity": text, "camera": text, "tags": [text], "source": text, "attributes": {"note": text}}
    files = {"images": (text.replace('"', "%22"), png(1), "image/svg+xml")}
    answer = client.post("/gallery", files=files, data={"metadata": json.dumps([vehicle])})
    assert answer.status_code == 201, answer.text
    id_ = answer.json()["results"][0]["id"]
    found = client.get(f"/gallery/{id_}")
    assert {name: found.json()[name] for name in vehicle} == vehicle
    assert found.headers["content-type"] == "application/json"
    for field in ("identity", "camera", "tag", "source"):
        listed = client.get(f"/gallery?{field}={quote(text, safe='')}").json()
        assert [record["id"] for record in listed["records"]] == [id_], field
    assert [match["id"] for match in query(client, 5, identity=text)["matches"]] == [id_]
    assert client.get("/gallery").json()["total"] == 2
    image = client.get(f"/gallery/{id_}/image")
    assert (image.headers["content-type"], image.headers["x-content-type-options"]) == ("image/png", "nosniff")
    assert image.headers["content-security-policy"].startswith("default-src 'none'")
    assert client.delete(f"/gallery?identity={quote(text, safe='')}").json()["deleted"] == 1


@pytest.mark.parametrize("path", ["/gallery/../../etc/passwd", "/gallery/%2e%2e%2f%2e%2e%2fetc%2fpasswd/image",
                                  "/jobs/x/files/..%2f..%2faccess.sqlite", "/static-offline-docs/..%2f..%2fapp.py",
                                  "/static-offline-docs/%2e%2e/%2e%2e/service/app.py"])  # fmt: skip
def test_a_path_leads_nowhere_else(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert b"root:" not in answer.content
    assert b"import" not in answer.content


def test_the_host_that_a_client_names_is_in_no_answer(client: TestClient) -> None:
    """Else a cache or an e-mail with an address from an answer could lead others to it."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    (record,) = client.get("/gallery", headers=headers).json()["records"]
    job = client.post("/jobs", json={"kind": "verify"}, headers=headers)
    deleted = client.delete(f"/gallery/{record['id']}", headers=headers)
    docs = client.get("/docs", headers=headers)
    client.post(deleted.links["undo"]["url"], headers=headers)
    assert (job.status_code, deleted.status_code, docs.status_code) == (202, 204, 200)
    for text in (str(record), job.text, docs.text, *(str(one.headers) for one in (job, deleted, docs))):
        assert "evil" not in text


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<html><script>alert(1)</script></html>"


@pytest.mark.parametrize(
    "content", [SVG, HTML, b"GIF89a/*" + HTML, b"%PDF-1.7 " + HTML, b"<?xml version='1.0'?>" + SVG]
)
@pytest.mark.parametrize("media_type", ["image/svg+xml", "image/png", "text/html"])
def test_what_a_browser_would_run_is_no_image(client: TestClient, content: bytes, media_type: str) -> None:
    answer = client.post("/gallery", files={"images": ("car.png", content, media_type)})
    assert answer.status_code == 422
    assert client.get("/gallery").json()["total"] == 1


def test_an_image_that_is_a_page_as_well_is_served_as_an_image(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(7)).save(buffer, "JPEG", comment=HTML)
    content = buffer.getvalue() + HTML
    enrolled = client.post("/gallery", files={"images": ("page.html", content, "text/html")}).json()["results"][0]
    if enrolled["status"] == "rejected":
        return
    for path in ("image", "frame"):
        answer = client.get(f"/gallery/{enrolled['id']}/{path}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


OUTGOING = ("urllib.request", "http.client", "requests", "httpx", "httpx2", "aiohttp", "ftplib", "smtplib", "urllib3")


def test_no_module_can_ask_another_host() -> None:
    """No URL is ever fetched, whatever a field says: nothing that is served with has a client in it."""
    root = Path(__file__).resolve().parents[2]
    found = []
    for package in ("model", "index", "service"):
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                found += [str(path.relative_to(root)) for name in names if name in OUTGOING]
    assert set(found) == {"service/healthcheck.py"}  # a process of its own, which asks this service alone
