"""Real drone photographs, with the shipped checkpoint: what `match` and `group` are worth."""

import csv
import io
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.datasets.manifest import read_manifest
from service.settings import Settings
from tests.service.conftest import serve
from tests.service.jobs.conftest import create, ended

DEMO = Path(__file__).resolve().parents[4] / "demo" / "sanet.safetensors"

Pairs = set[frozenset[str]]


def lines_of(client: TestClient, job: Any) -> list[dict[str, str]]:
    (file,) = job["report"]["files"]
    return list(csv.DictReader(io.StringIO(client.get(file["url"]).text, newline="")))


def pairs_within(groups: dict[str, list[str]]) -> Pairs:
    return {frozenset(pair) for ids in groups.values() for pair in combinations(ids, 2)}


def grouped_pairs(client: TestClient, **body: Any) -> Pairs:
    job = ended(client, create(client, kind="group", **body))
    assert job["state"] == "done", job
    groups: dict[str, list[str]] = defaultdict(list)
    for line in lines_of(client, job):
        groups[line["group"]].append(line["record"])
    return pairs_within(groups)


@pytest.mark.trial
def test_real_vehicles_are_found_and_grouped(tmp_path: Path, uav_frames: Path) -> None:
    """All 899 named boxes: grouped without their names, and then looked for by those of the others."""
    frames = uav_frames.resolve()
    root = tmp_path / "root"
    root.mkdir()
    entries = [entry for entry in read_manifest(frames / "manifest.csv").entries if entry.identity]
    for path in {entry.path for entry in entries}:
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes((frames / path).read_bytes())
    unnamed = ["path,box,vehicle,sequence,role_was"]
    unnamed += [f'{e.path},"{e.box}",{e.identity},{e.column("sequence")},{e.role}' for e in entries]
    named = ["path,box,identity", *(f'{e.path},"{e.box}",{e.identity}' for e in entries if e.role == "query")]
    for name, lines in (("unnamed", unnamed), ("named", named)):
        (root / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
    settings = Settings(checkpoint=DEMO, data_dir=tmp_path / "data", device="cpu", import_root=root)
    with serve(settings) as client:
        end = ended(client, create(client, kind="import", path="unnamed.csv"), 1200)
        assert end["report"]["enrolled"] == 899, end
        records = all_of(client)
        table = []
        for sequence in [*sorted({record["attributes"]["sequence"] for record in records}), None]:
            vehicles: dict[str, list[str]] = defaultdict(list)
            for record in records:
                if sequence in (None, record["attributes"]["sequence"]):
                    vehicles[record["attributes"]["vehicle"]].append(record["id"])
            wanted = pairs_within(vehicles)
            conditions = {} if sequence is None else {"attribute": [f"sequence:{sequence}"]}
            for max_distance in (0.8, 1.0, 1.2, 1.4, 1.6, 1.8):
                found = grouped_pairs(client, records=conditions, max_distance=max_distance)
                precision, recall = len(found & wanted) / max(1, len(found)), len(found & wanted) / len(wanted)
                table.append((sequence or "all", max_distance, len(found), len(wanted), precision, recall))
        for name, max_distance, num_found, num_wanted, precision, recall in table:
            figures = f"precision {precision:.3f}, recall {recall:.3f}"
            print(f"{name:5} {max_distance:.1f} {num_found:5} of {num_wanted:5} pairs, {figures}")  # noqa: T201
        of_all = {row[1]: row[4:] for row in table if row[0] == "all"}
        assert of_all[1.2][0] > 0.93
        assert of_all[1.4][1] > 0.55
        # Named first views, and every later view looked for among them and among all.
        for record in records:
            if record["attributes"]["role_was"] == "gallery":
                client.patch(f"/gallery/{record['id']}", json={"identity": record["attributes"]["vehicle"]})
        job = ended(client, create(client, kind="match", path="named.csv", where={"attribute": ["role_was:gallery"]}))
        report = job["report"]
        print(report)  # noqa: T201
        assert report["queries"] == report["with_matches"] == report["rank1_of"] == 645
        assert report["rank1_correct"] / 645 > 0.7
        # Calibrated on its own vehicles, the gallery keeps its promises, and knows by itself what is near.
        for record in records:
            client.patch(f"/gallery/{record['id']}", json={"identity": record["attributes"]["vehicle"]})
        job = ended(client, create(client, kind="calibrate"), 600)
        assert job["state"] == "done", job
        for size in job["report"]["measured"]["sizes"]:
            false = size["decisions"]["match_or_uncertain"]["false_accepts"]
            print(size["num_records"], size["ece"], false)  # noqa: T201
            assert size["ece"] < 0.03
            assert false["interval"][0] < 0.012
            assert false["interval"][1] > 0.008
        assert ended(client, create(client, kind="group"), 600)["state"] == "done"


@pytest.mark.trial
def test_real_vehicles_change_their_model_while_they_are_asked_for(
    tmp_path: Path, uav_frames: Path, small_checkpoint: Path
) -> None:
    """All 899: each answer meanwhile is wholly that of the one model or of the other."""
    frames, root = uav_frames.resolve(), tmp_path / "root"
    entries = [entry for entry in read_manifest(frames / "manifest.csv").entries if entry.identity]
    for path in {entry.path for entry in entries}:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((frames / path).read_bytes())
    lines = ["path,box", *(f'{entry.path},"{entry.box}"' for entry in entries)]
    (root / "all.csv").write_text("".join(f"{line}\n" for line in lines))
    before = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", import_root=root)
    after = before.model_copy(update={"checkpoint": DEMO})

    def answer(client: TestClient, id_: str) -> tuple[str, list[tuple[str, float]]]:
        response = client.post("/query", files={"record": (None, id_), "top_k": (None, "20")})
        assert response.status_code == 200, response.text
        found = response.json()
        return found["query"]["model"], [(match["id"], match["distance"]) for match in found["matches"]]

    with serve(before) as client:
        job = ended(client, create(client, kind="import", path="all.csv"), 1200)
        assert job["report"]["enrolled"] == 899, job
        asked = [record["id"] for record in all_of(client)][::29]
        expected = {id_: [answer(client, id_)] for id_ in asked}
    with serve(after) as client:
        answers: list[tuple[str, tuple[str, list[tuple[str, float]]]]] = []
        while client.get("/model").json()["next_model"] is not None:
            answers += [(id_, answer(client, id_)) for id_ in asked[len(answers) % len(asked) :][:1]]
        job = client.get("/jobs", params={"kind": "reembed"}).json()["jobs"][0]
        assert (job["state"], job["rejected"]) == ("done", 0)
        for id_ in asked:
            expected[id_].append(answer(client, id_))
    models = {model for _, (model, _) in answers}
    print(f"{len(answers)} answers meanwhile, of {len(models)} models; {job['report']}")  # noqa: T201
    assert len(answers) > 20
    for id_, (model, matches) in answers:
        (_, wanted) = next(one for one in expected[id_] if one[0] == model)
        assert [distance for _, distance in matches] == pytest.approx([distance for _, distance in wanted], rel=1e-4)


def all_of(client: TestClient) -> list[Any]:
    """The records of all pages."""
    records: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/gallery", params={"limit": "1000"} | cursor).json()
        records += page["records"]
        if page["next_cursor"] is None:
            return records
        cursor = {"cursor": page["next_cursor"]}
