import csv
import io
import itertools
import json
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from index.gallery.filters import Filter
from index.gallery.record import Record
from service.jobs.kinds import grouping
from service.settings import Settings
from tests.conftest import png
from tests.index.ranking.test_constrained_clustering import textbook
from tests.service.conftest import enrol, serve
from tests.service.jobs.conftest import create, ended
from tests.service.jobs.kinds.test_importing import gallery_of
from tests.service.jobs.kinds.test_matching import stop_before_advance

HEADER = ["group", "record", "identity", "distance", "camera", "captured_at", "source"]


def all_records(client: TestClient) -> list[Record]:
    return gallery_of(client).page(Filter(), 100_000, None).records


def enrol_vehicles(client: TestClient, per_vehicle: int = 3, num_vehicles: int = 6) -> None:
    """Pictures of each vehicle that differ in little, in frames of their own, and without a name."""
    files = [
        ("images", (f"v{seed} {view}.png", png(seed, 60, 40 + view), "image/png"))
        for seed in range(num_vehicles)
        for view in range(per_vehicle)
    ]
    assert client.post("/gallery", files=files).status_code == 201


def result(client: TestClient, job: Any) -> bytes:
    (file,) = job["report"]["files"]
    assert file["name"] == "groups.csv"
    return client.get(file["url"]).content


def grouped(client: TestClient, **body: Any) -> tuple[Any, list[dict[str, str]]]:
    job = ended(client, create(client, kind="group", **body))
    assert job["state"] == "done", job
    reader = csv.DictReader(io.StringIO(result(client, job).decode(), newline=""))
    lines = list(reader)
    assert reader.fieldnames == HEADER
    return job, lines


def groups_of(lines: list[dict[str, str]]) -> set[frozenset[str]]:
    members: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        members[line["group"]].add(line["record"])
    return {frozenset(ids) for ids in members.values()}


def expected_groups(records: list[Record], max_distance: float) -> set[frozenset[str]]:
    """By the textbook's clustering of all pairs, with the records by rising id."""
    records = sorted(records, key=lambda record: record.id)
    names = sorted({record.fields.identity for record in records if record.fields.identity is not None})
    contents = sorted({record.content for record in records})
    found = textbook(
        np.stack([record.embedding for record in records]),
        max_distance,
        [contents.index(record.content) for record in records],
        [-1 if record.fields.identity is None else names.index(record.fields.identity) for record in records],
    )
    return {frozenset(records[row].id for row in rows) for rows in found}


def middle_distance(records: list[Record]) -> float:
    """Between distances of pictures of one vehicle and of two."""
    same: list[float] = []
    different: list[float] = []
    for a, b in itertools.combinations(records, 2):
        distance = float(np.linalg.norm(a.embedding - b.embedding))
        is_same = str(a.fields.source).split()[0] == str(b.fields.source).split()[0]
        (same if is_same else different).append(distance)
    assert max(same) < min(different)
    return (max(same) + min(different)) / 2


def test_views_of_one_vehicle_are_one_group(client: TestClient) -> None:
    enrol_vehicles(client)
    enrol(client, 50)
    records = all_records(client)
    job, lines = grouped(
        client, max_distance=middle_distance([record for record in records if record.fields.source != "50.png"])
    )
    assert (job["done"], job["total"], job["rejected"]) == (19, 19, 0)
    report = job["report"]
    assert (report["records"], report["left_out"], report["crowded"]) == (19, 0, 0)
    assert (report["groups"], report["proposed"], report["alone"]) == (6, 6, 1)
    by_vehicle: dict[str, set[str]] = defaultdict(set)
    for record in records:
        by_vehicle[str(record.fields.source).split()[0]].add(record.id)
    assert groups_of(lines) == {frozenset(ids) for ids in by_vehicle.values()}
    # The largest first, then by their first ids; records of a group by rising id.
    assert [int(line["group"]) for line in lines] == sorted(int(line["group"]) for line in lines)
    firsts = [next(line["record"] for line in lines if line["group"] == str(number)) for number in range(1, 7)]
    assert firsts == sorted(firsts)
    embedding = {record.id: record.embedding for record in records}
    for line in lines:
        others = [other["record"] for other in lines if other["group"] == line["group"] and other != line]
        if not others:
            assert (line["group"], line["distance"]) == ("7", "")
            continue
        nearest = min(float(np.linalg.norm(embedding[line["record"]] - embedding[id_])) for id_ in others)
        assert float(line["distance"]) == pytest.approx(nearest, rel=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0, 1.2])
def test_frames_and_identities_keep_vehicles_apart(client: TestClient, share: float) -> None:
    """Whatever the distance: against the textbook's clustering of all pairs."""
    boxes = ["0,0,30,20", "30,0,30,20", "0,20,30,20", "30,20,30,20"]
    names = itertools.cycle(["=a", None, None, "b", None, "=a", None])
    metadata = [
        {
            "boxes": [{"box": box, **({"identity": name} if (name := next(names)) else {})} for box in boxes],
            "camera": "n" if number % 2 else "s",
        }
        for number in range(6)
    ]
    for number in range(6):
        files = [("images", (f"{number}.png", png(number // 2, 60, 40 + number), "image/png"))]
        client.post("/gallery", files=files, data={"metadata": json.dumps(metadata[number : number + 1])})
    records = all_records(client)
    distances = [float(np.linalg.norm(a.embedding - b.embedding)) for a, b in itertools.combinations(records, 2)]
    max_distance = share * float(np.median(distances))
    job, lines = grouped(client, max_distance=max_distance)
    wanted = expected_groups(records, max_distance)
    assert groups_of(lines) == wanted
    assert {line["record"]: line["identity"] for line in lines} == {
        record.id: {"=a": "'=a", "b": "b", None: ""}[record.fields.identity] for record in records
    }
    assert job["report"]["groups"] == sum(len(group) > 1 for group in wanted)
    southern = [record for record in records if record.fields.camera == "s"]
    job, lines = grouped(client, max_distance=max_distance, records={"camera": ["s"]})
    assert groups_of(lines) == expected_groups(southern, max_distance)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "max_distance is missing: the model is not calibrated"),
    ({"records": {}}, "max_distance is missing: the model is not calibrated"),
    ({"max_distance": 0}, "max_distance"),
    ({"max_distance": -1.5}, "max_distance"),
    ({"max_distance": "1"}, "max_distance"),
    ({"max_distance": True}, "max_distance"),
    ({"max_distance": 1, "records": {"colour": "red"}}, "records.colour"),
    ({"max_distance": 1, "records": {"identity": None}}, "null is no condition"),
    ({"max_distance": 1, "path": "x"}, "path: there is no such field"),
]


def test_what_nobody_can_mean_is_refused(client: TestClient) -> None:
    for body, said in REFUSED:
        response = client.post("/jobs", json={"kind": "group", **body})
        assert response.status_code == 422, body
        assert said in response.json()["detail"]


def test_no_records_and_too_many_records(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ended(client, create(client, kind="group", max_distance=1))
    assert (job["state"], job["error"]) == (
        "failed",
        "no record that can be searched passes the conditions: there is nothing to group",
    )
    enrol(client, 1, 2, 3)
    monkeypatch.setattr(grouping, "MAX_RECORDS", 2)
    response = client.post("/jobs", json={"kind": "group", "max_distance": 1})
    assert response.status_code == 422
    assert "3 records pass the conditions, at most 2 are grouped in one job" in response.json()["detail"]


def test_of_more_neighbours_than_are_looked_at_the_report_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "NUM_NEIGHBOURS", 2)
    enrol_vehicles(client, per_vehicle=4, num_vehicles=2)
    max_distance = middle_distance(all_records(client))
    job, lines = grouped(client, max_distance=max_distance)
    assert job["report"]["crowded"] == 8
    assert groups_of(lines) == expected_groups(all_records(client), max_distance)  # by way of the two nearest


def test_a_restart_goes_on_and_the_file_is_that_of_an_undisturbed_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "MOST_TOGETHER", 8)
    with serve(settings) as client:
        enrol_vehicles(client)
        max_distance = middle_distance(all_records(client))
        whole, _ = grouped(client, max_distance=max_distance)
        wanted = result(client, whole)
    for number in (1, 2, 3, 4):
        with monkeypatch.context() as patch, serve(settings) as client:
            stop_before_advance(patch, number)
            job = create(client, kind="group", max_distance=max_distance)
            folder = settings.data_dir / "jobs" / job["id"]
            left = folder / ("records.json" if number == 1 else "pairs.i64")
            while not left.exists():
                time.sleep(0.01)
        if number > 1:
            with left.open("ab") as opened:
                opened.write(b"half")
        with serve(settings) as client:
            again = ended(client, job)
            assert again["state"] == "done", again
            assert result(client, again) == wanted
            assert {**again["report"], "files": []} == {**whole["report"], "files": []}


def test_a_cancelled_job_leaves_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_before_advance(monkeypatch, 2)
    with serve(settings) as client:
        enrol_vehicles(client)
        job = create(client, kind="group", max_distance=1)
        while client.get(job["url"]).json()["total"] is None:
            time.sleep(0.01)
        assert client.delete(job["url"]).status_code == 202
        assert ended(client, job)["state"] == "cancelled"
        assert client.get(f"{job['url']}/groups").status_code == 404
        folder = settings.data_dir / "jobs" / job["id"]
        while folder.exists():
            time.sleep(0.01)
