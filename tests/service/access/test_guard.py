import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.access.errors import TooManyUploadsError
from service.access.key import Secret
from service.access.key_store import KeyStore
from service.access.route_rules import RULES
from service.access.scope import Scope
from service.access.upload_slots import UploadSlots
from service.app import create_app
from service.settings import Settings
from tests.conftest import png
from tests.service.access.conftest import Keys, bearer, make_key
from tests.service.conftest import serve

# Written down once more, from what the documentation promises; the table that is enforced is `RULES`.
SCOPE_OF = {
    ("GET", "/healthz"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/docs"): "open",
    ("GET", "/"): "open",
    ("GET", "/page/{path}"): "open",
    ("POST", "/query"): "read",
    ("GET", "/gallery"): "read",
    ("GET", "/gallery/stats"): "read",
    ("GET", "/gallery/deletions"): "read",
    ("GET", "/gallery/retention"): "read",
    ("GET", "/gallery/{id}"): "read",
    ("GET", "/gallery/{id}/image"): "read",
    ("GET", "/gallery/{id}/aligned"): "read",
    ("GET", "/gallery/{id}/frame"): "read",
    ("GET", "/jobs"): "read",
    ("GET", "/jobs/{id}"): "read",
    ("GET", "/jobs/{id}/rejections"): "read",
    ("GET", "/jobs/{id}/files/{name}"): "read",
    ("GET", "/jobs/{id}/events"): "read",
    ("GET", "/jobs/{id}/groups"): "read",
    ("GET", "/model"): "read",
    ("GET", "/metrics"): "read",
    ("POST", "/gallery"): "enrol",
    ("PATCH", "/gallery/{id}"): "enrol",
    ("PATCH", "/gallery"): "enrol",
    ("DELETE", "/gallery/{id}"): "enrol",
    ("POST", "/gallery/deletions/{id}/undo"): "enrol",
    ("POST", "/jobs/{id}/groups/{number}"): "enrol",
    ("DELETE", "/gallery"): "admin",
    ("POST", "/jobs"): "admin",
    ("DELETE", "/jobs/{id}"): "admin",
    ("DELETE", "/model/calibration"): "admin",
    ("GET", "/audit"): "admin",
}
FOR_BROWSERS = ["/docs", "/", "/page/{path}"]  # not in the OpenAPI document
GUARDED = [route for route, scope in SCOPE_OF.items() if scope != "open"]


def ask(client: TestClient, route: tuple[str, str], headers: dict[str, str] | None = None) -> Any:
    """A call that the route refuses or answers with nothing, once it is let in."""
    method, path = route
    path = path.format(id="0" * 32, name="x.csv", number="1")
    return client.request(method, path, headers=headers)


def test_the_table_has_every_route_and_no_other(guarded: TestClient) -> None:
    document = guarded.get("/openapi.json").json()
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names | {"docs", "home", "asset"} == set(RULES)
    routes = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert routes | {("GET", path) for path in FOR_BROWSERS} == set(SCOPE_OF)


@pytest.mark.parametrize("route", GUARDED)
def test_each_route_needs_its_scope(guarded: TestClient, keys: Keys, route: tuple[str, str]) -> None:
    needed = SCOPE_OF[route]
    order = ("read", "enrol", "admin")
    assert ask(guarded, route).status_code == 401
    for wrong in (keys.revoked, keys.expired, keys.rotated, str(Secret.make()), "sanet_", ""):
        answer = ask(guarded, route, bearer(wrong))
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:sanet:problem:key-needed"), wrong
    for scope in order:
        for headers in (bearer(getattr(keys, scope)), {"X-API-Key": getattr(keys, scope)}):
            answer = ask(guarded, route, headers)
            if order.index(scope) < order.index(needed):
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:sanet:problem:scope-needed")
                assert needed in answer.json()["detail"]
                assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]
            else:
                assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/", "/page/main.js"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_what_is_open_needs_no_key(guarded: TestClient, path: str, headers: dict[str, str]) -> None:
    assert guarded.get(path, headers=headers).status_code == 200
    assert guarded.head(path, headers=headers).status_code == 200


def test_a_refusal_says_how_to_send_a_key_and_nothing_of_those_there_are(guarded: TestClient, keys: Keys) -> None:
    missing = guarded.get("/gallery")
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="sanet"'
    assert missing.headers["content-type"] == "application/problem+json"
    assert "Authorization: Bearer" in missing.json()["detail"]
    there = Secret.read(keys.read)
    assert there is not None
    wrong = [
        str(Secret(there.id, "0" * 64)),  # an id that is there
        str(Secret("0" * 12, there.secret)),  # one that is not
        keys.revoked,
        keys.expired,
        "nonsense",
    ]
    answers = [guarded.get("/gallery", headers=bearer(key)) for key in wrong]
    said = [{**answer.json(), "request_id": ""} for answer in answers]
    assert all(one == said[0] for one in said)
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="sanet", error="invalid_token"'}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Authorization", "bearer KEY")], 200),
        ([("Authorization", "BEARER  KEY ")], 200),
        ([("X-API-Key", "KEY"), ("Authorization", "Bearer KEY")], 200),
        ([("Authorization", "Basic KEY")], 401),
        ([("Authorization", "KEY")], 401),
        ([("Authorization", "Bearer KEYx")], 401),
        ([("Authorization", "Bearer KEY KEY")], 401),
        ([("Authorization", "Bearer\tKEY")], 401),
        ([("Authorization", "Bearer KEY"), ("Authorization", "Bearer other")], 401),
        ([("X-API-Key", "KEY"), ("X-API-Key", "other")], 401),
        ([("X-API-Key", "other"), ("Authorization", "Bearer KEY")], 401),
        ([("X-API-Key", ""), ("Authorization", "Bearer KEY")], 401),
        ([("X-API-Key", "K" * 8000)], 401),
        ([("Cookie", "Authorization=Bearer KEY; X-API-Key=KEY")], 401),
    ],
)
def test_a_key_is_one_whole_key(guarded: TestClient, keys: Keys, headers: list[tuple[str, str]], status: int) -> None:
    sent = [(name, value.replace("KEY", keys.read)) for name, value in headers]
    assert guarded.get("/gallery", headers=sent).status_code == status


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=200),
        st.from_regex(r"(Bearer|bearer|Basic|Digest) sanet_[0-9a-f]{10,13}_[0-9a-fA-F]{62,66}", fullmatch=True),
    ),
    name=st.sampled_from(["Authorization", "X-API-Key"]),
)
def test_no_header_value_opens_it(guarded: TestClient, value: str, name: str) -> None:
    answer = guarded.get("/gallery", headers=[(name.encode(), value.encode("latin-1"))])
    assert answer.status_code == 401
    assert re.fullmatch(r'Bearer realm="sanet"(, error="invalid_token")?', answer.headers["WWW-Authenticate"])


@pytest.mark.parametrize(
    "path", ["/gallery?api_key=KEY", "/gallery?identity=KEY", "/model?x=KEY&y=1", "/healthz?KEY", "/model?K=KE%59"]
)
def test_a_key_in_the_address_is_refused_and_not_repeated(guarded: TestClient, keys: Keys, path: str) -> None:
    for headers in ({}, bearer(keys.admin)):
        encoded = keys.admin.replace("_", "%5F")
        answer = guarded.get(path.replace("KEY", keys.admin).replace("KE%59", encoded), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:sanet:problem:key-in-address")
        assert keys.admin not in answer.text


def test_a_refused_request_changes_nothing(guarded: TestClient, keys: Keys) -> None:
    files = {"images": ("1.png", png(1))}
    assert guarded.post("/gallery", files=files, headers=bearer(keys.read)).status_code == 403
    assert guarded.get("/gallery", headers=bearer(keys.read)).json()["total"] == 0
    enrolled = guarded.post("/gallery", files=files, headers=bearer(keys.enrol)).json()
    id_ = enrolled["results"][0]["id"]
    assert guarded.delete(f"/gallery/{id_}", headers=bearer(keys.read)).status_code == 403
    assert guarded.delete("/gallery?camera=a&expected=0", headers=bearer(keys.enrol)).status_code == 403
    assert guarded.get(f"/gallery/{id_}", headers=bearer(keys.read)).status_code == 200
    assert guarded.delete(f"/gallery/{id_}", headers=bearer(keys.enrol)).status_code == 204


def test_the_document_says_which_key_each_call_needs(guarded: TestClient) -> None:
    document = guarded.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["header"]["name"] == "X-API-Key"
    for (method, path), scope in SCOPE_OF.items():
        if path in FOR_BROWSERS:
            continue
        operation = document["paths"][path][method.lower()]
        assert ("401" in operation["responses"]) == (scope != "open")
        assert operation["security"] == ([] if scope == "open" else [{"bearer": []}, {"header": []}])
        if scope != "open":
            assert f"scope `{scope}`" in operation["description"]


@pytest.fixture
def own(small_checkpoint: Path, tmp_path: Path) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu")


def without_gallery(settings: Settings) -> TestClient:
    """A service whose engine is never opened: whoever is let in is told that it is not ready."""
    app = create_app(settings, lambda _: None)
    app.state.opening.start = lambda: None
    app.state.opening.end = lambda: None
    return TestClient(app, raise_server_exceptions=False)


def status_of(settings: Settings, headers: dict[str, str] | None = None, path: str = "/model") -> int:
    with without_gallery(settings) as client:
        return client.get(path, headers=headers).status_code


@pytest.mark.parametrize(
    ("changes", "has_key", "status"),
    [
        ({}, False, 503),
        ({}, True, 401),
        ({"auth": "off"}, True, 503),
        ({"auth": "on"}, False, 401),
        ({"host": "0.0.0.0"}, False, 401),
        ({"host": "0.0.0.0", "auth": "off"}, False, 503),
        ({"host": "0.0.0.0", "published": "127.0.0.1"}, False, 503),
        ({"host": "127.0.0.1", "published": "10.0.0.7"}, False, 401),
        ({"host": "::1"}, False, 503),
        ({"host": "localhost"}, False, 503),
        ({"host": "127.8.8.8"}, False, 503),
        ({"host": "::"}, False, 401),
        ({"host": "watch.example"}, False, 401),
    ],
)
def test_who_needs_a_key(own: Settings, changes: dict[str, str], has_key: bool, status: int) -> None:
    if has_key:
        make_key(own.data_dir, "one")
    assert status_of(own.model_copy(update=changes)) == status


def test_the_end_of_the_last_key_does_not_open_it(own: Settings) -> None:
    key, secret = make_key(own.data_dir, "last")
    assert status_of(own, bearer(secret)) == 503
    with KeyStore.opened(own.data_dir) as store:
        store.revoke(key.id)
    assert status_of(own, bearer(secret)) == 401
    assert status_of(own) == 401


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4096)])
def test_damaged_keys_let_nobody_in(own: Settings, content: bytes) -> None:
    own.data_dir.mkdir()
    (own.data_dir / "access.sqlite").write_bytes(content)
    with without_gallery(own) as client:
        answer = client.get("/model")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:sanet:problem:keys-not-readable")
        assert client.get("/healthz").status_code == 200


def test_metrics_may_be_open(own: Settings) -> None:
    make_key(own.data_dir, "one")
    assert status_of(own, path="/metrics") == 401
    opened = own.model_copy(update={"metrics_open": True})
    assert status_of(opened, path="/metrics") in (200, 503)
    assert status_of(opened, path="/model") == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://watch.example"}, 422),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://testserver:3000"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://watch.example"}, 422),
        # Over plain HTTP browsers say nothing but the origin.
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://testserver:3000"}, 403),
        ({"Origin": "http://testserver.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://watch.example"}, 422),
        ({"Origin": "http://testserver"}, 422),
        ({"Origin": "http://192.168.0.9:8000", "Host": "192.168.0.9:8000"}, 422),
        ({"Origin": "http://192.168.0.9:3000", "Host": "192.168.0.9:8000"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, 422),
        ({"Sec-Fetch-Site": "none"}, 422),
        ({}, 422),
    ],
)
def test_pages_of_other_sites_change_nothing_without_a_key(own: Settings, headers: dict[str, str], status: int) -> None:
    with serve(own.model_copy(update={"cors_origins": ("https://watch.example",)})) as client:
        sent = client.post("/gallery", files={"images": ("a.png", b"no image")}, headers=headers)
        assert sent.status_code == status
        assert client.get("/gallery", headers=headers).status_code == 200


def test_uploads_of_one_key_are_limited(own: Settings) -> None:
    slots = UploadSlots(2)
    with slots.taken("a"), slots.taken("a"), slots.taken("b"):
        with pytest.raises(TooManyUploadsError, match="2 uploads"), slots.taken("a"):
            pass
        with slots.taken("b"):
            pass
    with slots.taken("a"), slots.taken("a"), slots.taken("c"):
        pass
    unlimited = UploadSlots(0)
    with unlimited.taken("a"), unlimited.taken("a"), unlimited.taken("a"):
        pass


def test_scopes_rise() -> None:
    assert Scope.OPEN < Scope.READ < Scope.ENROL < Scope.ADMIN
    assert json.dumps([scope.label for scope in Scope]) == '["open", "read", "enrol", "admin"]'
