import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.calibration.calibration import Calibration
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import query, serve
from tests.service.jobs.conftest import create, ended

NUM_VEHICLES = 110


def enrol_vehicles(client: TestClient) -> None:
    """Two pictures of each vehicle, which differ in little."""
    for view in range(2):
        files = [
            ("images", (f"{seed}-{view}.png", png(seed, 60, 40 + view), "image/png")) for seed in range(NUM_VEHICLES)
        ]
        metadata = json.dumps(
            [{"identity": f"vehicle {seed}", "camera": f"north {view}"} for seed in range(NUM_VEHICLES)]
        )
        assert client.post("/gallery", files=files, data={"metadata": metadata}).status_code == 201


@pytest.fixture(scope="module")
def settings(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(checkpoint=small_checkpoint, data_dir=tmp_path_factory.mktemp("data"), device="cpu")


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with serve(settings) as client:
        enrol_vehicles(client)
        yield client


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.kinds.calibrating.NUM_QUERIES", 300)


def calibrated(client: TestClient, **body: Any) -> Any:
    job = ended(client, create(client, kind="calibrate", **body))
    assert job["state"] == "done", job
    return job


def test_a_gallery_of_known_vehicles_judges_by_itself_from_then_on(client: TestClient, settings: Settings) -> None:
    before = query(client, 1)
    assert before["decision"] == "uncalibrated"
    assert {match["probability"] for match in before["matches"]} == {None}
    assert client.get("/model").json()["calibration"] is None

    job = calibrated(client)
    assert (job["done"], job["total"]) == (2 * NUM_VEHICLES, 2 * NUM_VEHICLES)
    report = job["report"]
    assert (report["records"], report["vehicles"], report["left_out"]) == (2 * NUM_VEHICLES, NUM_VEHICLES, 0)
    assert report["sizes"] == [10, 30, 100, 220]
    (file,) = report["files"]
    calibration = Calibration.from_dict(client.get(file["url"]).json())
    assert list(calibration.match_distance) == report["match_distance"]

    of_model = client.get("/model").json()["calibration"]
    assert of_model["source"] == "gallery"
    assert Calibration.from_dict(of_model) == calibration
    after = query(client, 1)
    assert after["decision"] == calibration.decide(after["matches"][0]["distance"], 2 * NUM_VEHICLES) != "uncalibrated"
    small = client.post(
        "/query", files={"image": ("q.png", png(1, 60, 42), "image/png")}, data={"id": ids_of(client, 50), "top_k": "3"}
    ).json()
    assert small["searched"] == 50
    assert small["decision"] == calibration.decide(small["matches"][0]["distance"], 50)
    assert small["decision"] != "uncalibrated"
    assert all(0 <= match["probability"] <= 1 for match in small["matches"])
    assert small["warnings"] == before["warnings"]  # its own calibration is nothing to warn of


def ids_of(client: TestClient, num: int) -> list[str]:
    return [record["id"] for record in client.get("/gallery", params={"limit": num}).json()["records"]]


def test_rank_1_is_judged_alike_however_many_are_asked_for(client: TestClient) -> None:
    calibrated(client)
    ids = ids_of(client, 60)
    answers = [
        client.post(
            "/query", files={"image": ("q.png", png(5, 60, 42), "image/png")}, data={"id": ids, "top_k": str(top_k)}
        ).json()
        for top_k in (1, 7, 30)
    ]
    assert [len(answer["matches"]) for answer in answers] == [1, 7, 30]
    assert len({answer["decision"] for answer in answers}) == 1
    assert len({answer["matches"][0]["probability"] for answer in answers}) == 1
    assert answers[1]["matches"] == answers[2]["matches"][:7]


def test_it_survives_a_restart_and_can_be_forgotten(small_checkpoint: Path, tmp_path: Path) -> None:
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path, device="cpu")
    with serve(settings) as first:
        enrol_vehicles(first)
        calibrated(first)
        before = first.get("/model").json()["calibration"]
    with serve(settings) as again:
        assert again.get("/model").json()["calibration"] == before
        assert again.delete("/model/calibration").status_code == 204
        assert again.get("/model").json()["calibration"] is None
        response = again.delete("/model/calibration")
        assert response.status_code == 404
        assert response.json()["type"] == "urn:sanet:problem:calibration-not-found"


def test_without_adopting_it_only_measures(small_checkpoint: Path, tmp_path: Path) -> None:
    with serve(Settings(checkpoint=small_checkpoint, data_dir=tmp_path, device="cpu")) as fresh:
        enrol_vehicles(fresh)
        report = calibrated(fresh, adopt=False)["report"]
        assert not report["adopted"]
        assert report["measured"]["sizes"][0]["ece"] >= 0
        assert fresh.get("/model").json()["calibration"] is None


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"camera": ["nowhere"]}, "no record with an identity passes the conditions"),
        ({"identity": "vehicle 3"}, "there are 1 vehicles with a known identity: a calibration needs at least 100"),
        ({"camera": ["north 0"]}, "no vehicle was in the gallery"),  # each only once
    ],
)
def test_what_cannot_be_calibrated_on_fails_with_the_reason(client: TestClient, records: Any, said: str) -> None:
    before = client.get("/model").json()["calibration"]
    job = ended(client, create(client, kind="calibrate", records=records))
    assert job["state"] == "failed"
    assert said in job["error"]
    assert client.get("/model").json()["calibration"] == before


def test_too_many_records_leave_whole_vehicles_out(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.kinds.calibrating.MAX_RECORDS", 205)
    report = calibrated(client, adopt=False)["report"]
    assert (report["records"], report["vehicles"], report["left_out"]) == (204, 102, 16)


def test_metrics_have_its_error_curves(client: TestClient) -> None:
    report = calibrated(client)["report"]
    answer = client.get("/metrics", headers={"Accept": "application/json"}).json()
    assert answer["calibration"]["measured"] == report["measured"]
    assert answer["calibration"]["measured"]["sizes"][0]["reliability"]
