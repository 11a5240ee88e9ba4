import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.service.conftest import enrol, serve


@pytest.fixture(scope="module")
def client(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a service without a rule, with records that are 10, 40 and 100 days old, and one that was just enrolled."""
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path_factory.mktemp("kept") / "data", device="cpu")
    with serve(settings) as client:
        now = datetime.now(UTC)
        ages = [("gate-3", 10), ("gate-3", 40), ("gate-3", 100), ("north", 100), (None, 100)]
        metadata = [
            {"camera": camera, "captured_at": (now - timedelta(days=days)).isoformat()} for camera, days in ages
        ]
        enrol(client, 1, 2, 3, 4, 5, 6, metadata=json.dumps([*metadata, {}]))
        yield client


def test_without_a_rule_every_record_is_kept(client: TestClient) -> None:
    assert client.get("/gallery/retention").json() == {"rule": None, "records": 0, "cameras": []}


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ("90d", {None: 1, "gate-3": 1, "north": 1}),
        ("90d; camera gate-3: 30d", {"gate-3": 2, None: 1, "north": 1}),
        ("camera gate-3: 5d", {"gate-3": 3}),
        ("5d; camera gate-3: keep", {None: 1, "north": 1}),
        ("365d", {}),
    ],
)
def test_it_says_what_a_rule_would_delete_and_deletes_nothing(
    client: TestClient, rule: str, counts: dict[str | None, int]
) -> None:
    answer = client.get("/gallery/retention", params={"rule": rule}).json()
    assert answer == {
        "rule": rule,
        "records": sum(counts.values()),
        "cameras": [{"value": camera, "count": count} for camera, count in counts.items()],
    }
    assert client.get("/gallery").json()["total"] == 6


@pytest.mark.parametrize(
    "query",
    [
        "rule=90",
        "rule=",
        "rule=90d&rule=30d",
        "rules=90d",
        "rule=" + "x" * 5000,
        "rule=camera" + "+" * 3900 + "x",
        "rule=camera" + "+" * 60_000 + "x",
    ],
)
def test_a_rule_that_is_none_is_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/gallery/retention?{query}")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
