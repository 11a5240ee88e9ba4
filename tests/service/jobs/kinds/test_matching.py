import csv
import io
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from index.gallery.filters import Filter
from index.gallery.record import Record
from service.jobs.running_job import RunningJob
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, serve
from tests.service.jobs.conftest import create, ended, rejections
from tests.service.jobs.kinds.test_importing import gallery_of

HEADER = [
    "query", "query_box", "query_identity", "rank", "id", "distance", "probability", "decision", "identity", "camera",
    "captured_at", "source",
]  # fmt: skip

Line = dict[str, str]


def all_records(client: TestClient) -> list[Record]:
    return gallery_of(client).page(Filter(), 100_000, None).records


def result(client: TestClient, job: Any) -> bytes:
    (file,) = job["report"]["files"]
    assert file["name"] == "matches.csv"
    return client.get(file["url"]).content


def lines_of(data: bytes) -> list[Line]:
    reader = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    lines = list(reader)
    assert reader.fieldnames == HEADER
    return lines


def matched(client: TestClient, **body: Any) -> tuple[Any, list[Line]]:
    job = ended(client, create(client, kind="match", **body))
    assert job["state"] == "done", job
    return job, lines_of(result(client, job))


def expected(query: Record, gallery: list[Record], top_k: int, *, grouped: bool = False) -> list[tuple[str, float]]:
    """(id, distance) of the nearest other records, of each identity only the nearest."""
    distances = [
        (float(np.linalg.norm(record.embedding.astype(float) - query.embedding.astype(float))), record.id, record)
        for record in gallery
    ]
    chosen: list[tuple[str, float]] = []
    seen: set[str] = set()
    for distance, id_, record in sorted(distances, key=lambda entry: entry[:2]):
        identity = record.fields.identity
        if not (grouped and identity in seen):
            chosen.append((id_, distance))
        if identity is not None:
            seen.add(identity)
    return chosen[:top_k]


def found(lines: list[Line], query: str) -> list[tuple[str, float]]:
    of_query = [line for line in lines if line["query"] == query]
    assert [line["rank"] for line in of_query] == [str(rank) for rank in range(1, len(of_query) + 1)]
    return [(line["id"], float(line["distance"])) for line in of_query]


def assert_same(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    assert [id_ for id_, _ in found] == [id_ for id_, _ in wanted]
    assert [distance for _, distance in found] == pytest.approx([distance for _, distance in wanted])


def test_a_manifest_is_looked_for_and_every_line_answered(importing: TestClient, root: Path) -> None:
    metadata = [
        {"identity": "a", "camera": "north", "captured_at": "2026-05-01T12:00:00.5+02:00"},
        {"identity": "b"},
        {},
        {"identity": "a", "camera": "south"},
    ]
    enrol(importing, 20, 21, 22, 23, metadata=json.dumps(metadata))
    (root / "m.csv").write_text('path,identity,role,box\n0.png,a,query,\n1.png,,gallery,"2,3,20,20"\n2.png,j,junk,\n')
    job, lines = matched(importing, path="m.csv", top_k=3)
    assert (job["done"], job["total"], job["rejected"]) == (2, 2, 0)
    assert {line["query"]: (line["query_box"], line["query_identity"]) for line in lines} == {
        "0.png": ("0,0,40,30", "a"),
        "1.png": ("2,3,20,20", ""),
    }
    answer = importing.post("/query", files={"image": png(0, 40, 30)}, data={"top_k": 3}).json()
    of_first = [line for line in lines if line["query"] == "0.png"]
    assert len(of_first) == 3
    for line, match in zip(of_first, answer["matches"], strict=True):
        for name in ("id", "identity", "camera", "captured_at", "source"):
            assert line[name] == (match[name] or "")
        assert float(line["distance"]) == pytest.approx(match["distance"], rel=1e-3)
        assert (line["probability"], line["decision"]) == ("", "uncalibrated")
    assert {line["captured_at"] for line in lines} == {"", "2026-05-01T10:00:00.500000Z"}
    rank1 = answer["matches"][0]["identity"] == "a"
    report = {
        name: job["report"][name] for name in ("queries", "with_matches", "rejected", "rank1_correct", "rank1_of")
    }
    assert report == {"queries": 2, "with_matches": 2, "rejected": 0, "rank1_correct": int(rank1), "rank1_of": 1}
    assert len(all_records(importing)) == 4  # nothing was enrolled


def test_the_right_vehicle_is_counted_as_right(importing: TestClient, root: Path) -> None:
    enrol(importing, 1, 2, 3, metadata=json.dumps([{"identity": "one"}, {"identity": "two"}, {"identity": "three"}]))
    # Nearly the same pictures as those of the gallery; one by a wrong name, one by a name that nobody has.
    rows = [(1, "one"), (2, "two"), (3, "one"), (2, "nobody"), (3, "")]
    for number, (seed, _) in enumerate(rows):
        (root / f"q{number}.png").write_bytes(png(seed, 60, 41))
    names = [f"q{number}.png,{identity}" for number, (_, identity) in enumerate(rows)]
    (root / "m.csv").write_text("\n".join(["path,identity", *names, ""]))
    job, lines = matched(importing, path="m.csv", top_k=1)
    assert [line["identity"] for line in lines] == ["one", "two", "three", "two", "three"]
    assert (job["report"]["rank1_correct"], job["report"]["rank1_of"]) == (2, 3)
    # Where the searched gallery lacks the identity, a query says nothing of the model.
    job, _ = matched(importing, path="m.csv", top_k=1, where={"identity": "two"})
    assert (job["report"]["rank1_correct"], job["report"]["rank1_of"]) == (1, 1)


@pytest.mark.parametrize("grouped", [False, True])
def test_records_find_neither_themselves_nor_their_frame(importing: TestClient, grouped: bool) -> None:
    # Three frames with three vehicles each, some by name, and single pictures.
    boxes = ["0,0,20,20", "20,0,20,20", "40,20,20,20"]
    frames = [
        [{"box": box, **({"identity": name} if name else {})} for box, name in zip(boxes, names, strict=True)]
        for names in (("a", "b", None), ("b", "a", "a"), (None, "c", "a"))
    ]
    metadata = [*({"boxes": vehicles} for vehicles in frames), {"identity": "a"}, {"identity": "c", "camera": "x"}]
    enrol(importing, 1, 2, 3, 4, 5, metadata=json.dumps(metadata))
    records = all_records(importing)
    assert len(records) == 11
    for top_k in (1, 4, 1000):
        _, lines = matched(importing, records={}, top_k=top_k, group_by="identity" if grouped else None)
        assert {line["query"] for line in lines} == {record.id for record in records}
        for record in records:
            others = [other for other in records if other.content != record.content]
            assert_same(found(lines, record.id), expected(record, others, top_k, grouped=grouped))


def test_a_path_finds_other_vehicles_of_a_frame_but_not_its_own_record(importing: TestClient, root: Path) -> None:
    (root / "frame.csv").write_text('path,identity,box\n1.png,a,"0,0,20,20"\n1.png,b,"20,0,20,20"\n2.png,c,\n')
    ended(importing, create(importing, kind="import", path="frame.csv"))
    records = all_records(importing)
    _, lines = matched(importing, path="frame.csv", top_k=10)
    for record in records:
        others = [other for other in records if other.id != record.id]
        of_record = [
            line for line in lines if (line["query"], line["query_box"]) == (record.fields.source, str(record.box))
        ]
        assert_same([(line["id"], float(line["distance"])) for line in of_record], expected(record, others, 10))


def test_conditions_choose_queries_and_gallery(importing: TestClient) -> None:
    metadata = [
        {
            "camera": "nsw"[seed % 3],
            "tags": ["t"] if seed % 2 else [],
            "captured_at": f"2026-05-0{seed + 1}T12:00:00.25Z",
            "latitude": 50 + seed / 10,
            "longitude": 8.25,
            "attributes": {"colour": "red=:-)" if seed < 4 else "blue"},
            "source": f"=flight {seed}",
        }
        for seed in range(8)
    ]
    enrol(importing, *range(8), metadata=json.dumps(metadata))
    by_seed = {
        int(record.fields.source.split()[1]): record for record in all_records(importing) if record.fields.source
    }

    def seeds(lines: list[Line], column: str) -> set[int]:
        ids = {line[column] for line in lines}
        return {seed for seed, record in by_seed.items() if record.id in ids}

    cases: list[tuple[dict[str, Any], set[int]]] = [
        ({"camera": ["n", "s"]}, {0, 1, 3, 4, 6, 7}),
        ({"tag": ["t"], "attribute": ["colour:red=:-)"]}, {1, 3}),
        ({"captured_after": "2026-05-03T14:00:00.25+02:00", "captured_before": "2026-05-05T12:00:00.25Z"}, {2, 3}),
        ({"near": "50.3,8.25,1e3"}, {3}),
        ({"source": "=flight 5"}, {5}),
        ({"camera": ["nowhere"]}, set()),
    ]
    for conditions, passing in cases:
        job, lines = matched(importing, records=conditions, top_k=1000)
        assert (job["total"], job["done"], seeds(lines, "query")) == (len(passing), len(passing), passing)
        job, lines = matched(importing, records={}, where=conditions, top_k=1000)
        assert (job["total"], seeds(lines, "query"), seeds(lines, "id")) == (8, set(range(8)), passing)
        # One that found nothing but itself, or nothing at all, has a line nevertheless.
        without = {record.id for record in by_seed.values()} - {line["query"] for line in lines if line["id"]}
        assert job["report"]["with_matches"] == 8 - len(without)
        for line in lines:
            if line["query"] in without:
                assert [line[name] for name in HEADER[3:]] == ["", "", "", "", "uncalibrated", "", "", "", ""]


def test_what_cannot_be_used_is_rejected_and_the_rest_is_looked_for(importing: TestClient, root: Path) -> None:
    enrol(importing, 20)
    (root / "text.png").write_text("hello")
    (root / "m.csv").write_text(
        'path,identity,role,box\n0.png,,sought,\ntext.png,,,\n1.png,,,"90,90,9,9"\n../up.png,,,\nnone.png,,,\n2.png,,,\n'
    )
    job, lines = matched(importing, path="m.csv")
    assert (job["done"], job["total"], job["rejected"]) == (6, 6, 5)
    assert (job["report"]["queries"], job["report"]["rejected"]) == (1, 5)
    assert [line["query"] for line in lines] == ["2.png"]
    assert [(row["row"], row["name"]) for row in rejections(importing, job)] == [
        (2, "0.png"),
        (3, "text.png"),
        (4, "1.png"),
        (5, "../up.png"),
        (6, "none.png"),
    ]


def test_a_folder_is_looked_for_with_the_identities_of_its_folders(importing: TestClient, root: Path) -> None:
    enrol(importing, 20, metadata='[{"identity": "Ä"}]')
    for name, seed in (("A\u0308", 20), ("B", 21)):
        (root / "days" / name).mkdir(parents=True)
        (root / "days" / name / "x.png").write_bytes(png(seed, 60, 41))
    job, lines = matched(importing, path="days", identity_from_folder=True)
    assert sorted((line["query"], line["query_identity"]) for line in lines) == [
        ("A\u0308/x.png", "Ä"),
        ("B/x.png", "B"),
    ]
    assert (job["report"]["rank1_correct"], job["report"]["rank1_of"]) == (1, 1)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "give path or records, and not both"),
    ({"path": ".", "records": {}}, "give path or records, and not both"),
    ({"records": {}, "identity_from_folder": True}, "identity_from_folder goes with path"),
    ({"path": "../up"}, "does not lie below SANET_IMPORT_ROOT"),
    ({"path": "none.csv"}, "there is nothing at"),
    ({"path": ".", "top_k": 0}, "top_k"),
    ({"path": ".", "top_k": 1001}, "top_k"),
    ({"path": ".", "top_k": "5"}, "top_k"),
    ({"path": ".", "top_k": True}, "top_k"),
    ({"path": ".", "group_by": "camera"}, "group_by"),
    ({"path": ".", "where": {"colour": "red"}}, "where.colour: there is no such field"),
    ({"path": ".", "where": {"camera": "north"}}, "where.camera"),
    ({"path": ".", "where": []}, "where"),
    ({"records": {"near": "50,8"}}, "records.near: near is lat,lon,radius_m"),
    ({"records": {"captured_after": 5}}, "records.captured_after: a time is RFC 3339"),
    ({"records": {"attribute": ["red"]}}, "records.attribute.0: attribute is name:value"),
    ({"records": {"identity": None}}, "records.identity: null is no condition"),
    ({"records": {"camera": [None]}}, "records.camera.0"),
]


def test_what_nobody_can_mean_is_refused(importing: TestClient) -> None:
    for body, said in REFUSED:
        response = importing.post("/jobs", json={"kind": "match", **body})
        assert response.status_code == 422, body
        assert said in response.json()["detail"]


def test_records_need_no_import_root(client: TestClient) -> None:
    enrol(client, 1, 2)
    assert client.post("/jobs", json={"kind": "match", "path": "m.csv"}).status_code == 409
    _, lines = matched(client, records={})
    assert len(lines) == 2


def test_nothing_runs_as_a_formula(importing: TestClient, root: Path) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "'x", "＝1", "a=b", 'say "hi", you']
    enrol(importing, *range(len(names)), metadata=json.dumps([{"identity": name} for name in names]))
    (root / "=cmd.png").write_bytes(png(50))
    _, lines = matched(importing, path="=cmd.png", top_k=100)
    assert {line["query"] for line in lines} == {"'=cmd.png"}
    assert {line["identity"] for line in lines} == {
        "'=1+1", "'+1", "'-1", "'@SUM(A1)", "''x", "'＝1", "a=b", 'say "hi", you',
    }  # fmt: skip
    for line in lines:
        assert not line["distance"].startswith("'")


def stop_before_advance(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Holds a job before it stores its n-th step, counted from 1, until it has to end: what it wrote is not counted."""
    advance = RunningJob.advance
    calls = itertools.count(1)

    def held(job: RunningJob, *args: Any, **kwargs: Any) -> None:
        if next(calls) >= number:
            job.wait(3600)
        advance(job, *args, **kwargs)

    monkeypatch.setattr(RunningJob, "advance", held)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_restart_goes_on_and_the_file_is_that_of_an_undisturbed_run(
    settings: Settings, root: Path, by_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("index.gallery.bulk_intake", "service.jobs.kinds.matching"):
        monkeypatch.setattr(f"{module}.CHUNK_SIZE", 16)
    rows = [f'{number % 10}.png,id{number % 4},"{number % 7},{number % 5},20,20"' for number in range(36)]
    (root / "m.csv").write_text("\n".join(["path,identity,box", *rows, "none.png,,", ""]))
    (root / "g.csv").write_text("path,identity\n" + "".join(f"{number}.png,id{number % 4}\n" for number in range(10)))
    body: dict[str, Any] = {"path": "m.csv"} if by_path else {"records": {}}
    with serve(settings) as client:
        ended(client, create(client, kind="import", path="g.csv"))
        if not by_path:
            ended(client, create(client, kind="import", path="m.csv"))
        whole, _ = matched(client, top_k=3, **body)
        wanted = result(client, whole)
    for number in (1, 2, 3):
        with monkeypatch.context() as patch, serve(settings) as client:
            stop_before_advance(patch, number)
            job = create(client, kind="match", top_k=3, **body)
            file = settings.data_dir / "jobs" / job["id"] / "results" / "matches.csv"
            while not file.exists():
                time.sleep(0.01)
        with file.open("ab") as opened:
            opened.write(b'"half a li')
        with serve(settings) as client:
            again = ended(client, job)
            assert again["state"] == "done", again
            assert (again["done"], again["rejected"]) == (whole["done"], whole["rejected"])
            assert result(client, again) == wanted
            assert {**again["report"], "files": []} == {**whole["report"], "files": []}


def test_a_manifest_that_changes_meanwhile_fails_the_job(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "m.csv").write_text("path\n0.png\n1.png\n")
    with monkeypatch.context() as patch, serve(settings) as client:
        stop_before_advance(patch, 2)
        job = create(client, kind="match", path="m.csv")
        while client.get(job["url"]).json()["total"] is None:
            time.sleep(0.01)
    (root / "m.csv").write_text("path\n0.png\n")
    with serve(settings) as client:
        end = ended(client, job)
        assert end["state"] == "failed"
        assert "m.csv was changed while its vehicles were looked for: start the job again" in end["error"]
