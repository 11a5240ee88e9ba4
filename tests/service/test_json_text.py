from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.json_text import JsonError, parse_json
from tests.service.conftest import enrol


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true, "é"]}', {"a": [1, 2.5, None, True, "é"]}),
        (" [] ", []),
        ("\ufeff[]", []),
        ("1e3", 1000.0),
    ],
)
def test_json_is_read(text: str, value: Any) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"identity": "a",}', "line 1, column"),
        ('{"identity":\n "a"\n "b"}', "line 3, column 2"),
        ("", "line 1, column 1"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there more than once"),
        ('[{"x": {"a": 1, "a": 1}}]', "'a' is there more than once"),
        ('{"latitude": NaN}', "NaN is no number"),
        ('{"latitude": -Infinity}', "-Infinity is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "too many digits"),
    ],
)
def test_what_is_no_json_or_says_something_twice_is_refused(text: str, said: str) -> None:
    with pytest.raises(JsonError, match=said):
        parse_json(text)


def patch(client: TestClient, content: bytes, content_type: str) -> Any:
    id_ = enrol(client, 1)["results"][0]["id"]
    return client.patch(f"/gallery/{id_}", content=content, headers={"content-type": content_type})


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
def test_a_change_is_read(client: TestClient, content_type: str) -> None:
    assert patch(client, '{"identity": "é"}'.encode(), content_type).json()["identity"] == "é"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "said"),
    [
        (b'{"identity": "a",}', "application/json", 400, "at line 1, column"),
        (b'{"identity": "a"}', "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
        (b'{"identity": "a"}', "", 415, "the content type is missing"),
        (b'{"identity": "\xfc"}', "application/json", 400, "not UTF-8"),
        ('{"identity": "a"}'.encode("utf-16"), "application/json", 400, "not UTF-8"),
        (b'{"identity": "a", "identity": "b"}', "application/json", 400, "more than once"),
        (b"", "application/json", 400, "it is not JSON"),
        (b"[]", "application/merge-patch+json", 415, "Content-Type: application/json"),
        (b'{"attributes": {"": "a"}}', "application/json", 422, "the name of an attribute"),
        (b"[]", "application/json", 422, "a JSON object was expected"),
        (b'"identity"', "application/json", 422, "a JSON object was expected"),
        (b'{"latitude": true, "longitude": 1}', "application/json", 422, "latitude: a number was expected; got true"),
        (b'{"latitude": "1", "longitude": 1}', "application/json", 422, "latitude: a number was expected"),
        (b'{"captured_at": 20260501}', "application/json", 422, "a time is RFC 3339"),
        (b'{"captured_at": 1777636800}', "application/json", 422, "a time is RFC 3339"),
        (b'{"captured_at": 0.5}', "application/json", 422, "a time is RFC 3339"),
        (b'{"captured_at": true}', "application/json", 422, "a time is RFC 3339"),
        (b'{"captured_at": "2026-05-01T12:00:00"}', "application/json", 422, "a time is RFC 3339"),
        ('{"captured_at": "٢٠٢٦-05-01T12:00:00Z"}'.encode(), "application/json", 422, "a time is RFC 3339"),
        (b'{"identity": 5}', "application/json", 422, "identity: a text was expected; got 5"),
        (b'{"identity": "   "}', "application/json", 422, "visible character"),
        (b'{"identity": "a\\nb"}', "application/json", 422, "control characters"),
        (b'{"tags": "red"}', "application/json", 422, "tags: a list was expected"),
        (b'{"attributes": {"a:b": "c"}}', "application/json", 422, "cannot hold a colon"),
        (b'{"attributes": {"a": 1}}', "application/json", 422, "a text was expected"),
        (b'{"attributes": []}', "application/json", 422, "an object of texts by name was expected"),
    ],
)
def test_a_wrong_change_is_refused_in_the_users_words(
    client: TestClient, content: bytes, content_type: str, status: int, said: str
) -> None:
    answer = patch(client, content, content_type)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    for internal in ("got b'", "<class", "dict", "JSON decode", "got {}"):
        assert internal not in answer.json()["detail"]
