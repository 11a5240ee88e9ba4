import itertools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.datasets.manifest import read_manifest, write_manifest
from index.datasets.protocol import Protocol
from index.gallery.fields import Fields
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from model.embeddings import Embeddings
from service.jobs.background import Background
from service.jobs.kinds.importing import Import
from service.jobs.running_job import RunningJob
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import enrol, query, serve
from tests.service.jobs.conftest import create, ended, rejections

HEADER = "path,identity,camera,role,box,latitude,longitude,colour\n"


def gallery_of(client: TestClient) -> Gallery:
    return client.app.state.engine.gallery  # type: ignore[attr-defined, no-any-return]


def records(client: TestClient) -> dict[str, Record]:
    """By source and box."""
    found = gallery_of(client).page(Filter(), 100_000, None).records
    return {f"{record.fields.source} {record.box}": record for record in found}


def imported(client: TestClient, **body: Any) -> Any:
    job = ended(client, create(client, kind="import", **body))
    assert job["state"] == "done", job
    return job


def test_a_manifest_is_enrolled_and_found(importing: TestClient, root: Path) -> None:
    (root / "m.csv").write_text(
        HEADER
        + "0.png,a,north,gallery,,50.08,8.24,red\n"
        + "1.png,b,,train,,,,\n"
        + '1.png,c,,,"0,0,20,20",,,\n'
        + "2.png,q,,query,,,,\n"
        + "3.png,j,,junk,,,,\n"
    )
    job = imported(importing, path="m.csv")
    assert (job["done"], job["total"], job["rejected"], job["error"]) == (3, 3, 0, None)
    assert job["report"] == {
        "enrolled": 3,
        "duplicates": 0,
        "differing": 0,
        "warnings": 0,
        "first_warnings": [],
        "columns_not_kept": ["role"],
        "data_warnings": [],
    }
    found = records(importing)
    assert found.keys() == {"0.png 0,0,40,30", "1.png 0,0,40,30", "1.png 0,0,20,20"}
    fields = found["0.png 0,0,40,30"].fields
    assert fields == Fields("a", "north", None, 50.08, 8.24, (), "0.png", {"colour": "red"})
    assert query(importing, 99)["searched"] == 3


def test_it_enrols_what_posting_the_files_enrols(importing: TestClient, root: Path) -> None:
    answer = importing.post("/gallery", files=[("images", (f"{i}.png", png(i, 40, 30))) for i in range(3)]).json()
    imported(importing, path="1.png")
    job = imported(importing, path=".")
    assert job["report"] | {"data_warnings": []} == {
        "enrolled": 7,
        "duplicates": 3,
        "differing": 0,
        "warnings": 0,
        "first_warnings": [],
        "columns_not_kept": [],
        "data_warnings": [],
    }
    found = records(importing)
    assert [found[f"{i}.png 0,0,40,30"].id for i in range(3)] == [result["id"] for result in answer["results"]]


def test_what_is_wrong_is_rejected_with_its_row_and_the_rest_is_enrolled(
    importing: TestClient, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(png(77))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "text.png").write_text("hello")
    os.mkfifo(root / "pipe.png")
    (root / "below").mkdir()
    (root / "below" / "m.csv").write_bytes(
        b"path,identity,role,box,latitude\n"  # line 1
        b"../0.png,a,,,\n"
        b"../1.png,b,sought,,\n"
        b"../link.png,c,,,\n"
        b"../../secret.png,d,,,\n"
        b"../pipe.png,e,,,\n"
        b'../2.png,f,,"100,100,9,9",\n'
        b"../3.png,g,,,100\n"
        b"../text.png,h,,,\n"
        b"../none.png,i,,,\n"
        b"../\xff.png,j,,,\n"
        b"../4.png,k,,\n"
        b"path,identity,role,box,latitude\n"
        b"/etc/passwd,l,,,\n"
        b"../5.png,m,,,\n"  # line 15
    )
    job = imported(importing, path="below/m.csv")
    assert (job["done"], job["total"], job["rejected"]) == (13, 13, 11)
    assert job["report"]["enrolled"] == 2
    assert job["report"]["data_warnings"] == ["lines that repeat the header, as in files that were joined, left out: 1"]
    found = {rejection["row"]: rejection for rejection in rejections(importing, job)}
    assert {row: (rejection["name"], rejection["box"]) for row, rejection in found.items()} == {
        3: ("../1.png", None),
        4: ("../link.png", None),
        5: ("../../secret.png", None),
        6: ("../pipe.png", None),
        7: ("../2.png", "100,100,9,9"),
        8: ("../3.png", None),
        9: ("../text.png", None),
        10: ("../none.png", None),
        11: ("", None),
        12: ("../4.png", None),
        14: ("/etc/passwd", None),
    }
    expected = {
        3: "role must be one of",
        4: "'link.png' is a link, which is not followed",
        5: "'../../secret.png' does not lie below SANET_IMPORT_ROOT",
        6: "'pipe.png' is neither a folder nor a regular file",
        7: "outside the image of 40 x 30 pixels",
        8: "latitude: a number of degrees between -90 and 90 was expected",
        9: "the file is not a JPEG",
        10: "there is nothing at 'none.png'",
        11: "it is no CSV in UTF-8",
        12: "it has not as many fields as the header",
        14: "'/etc/passwd' does not lie below SANET_IMPORT_ROOT",
    }
    for row, reason in expected.items():
        assert reason in found[row]["reason"]
    assert {record.fields.identity for record in records(importing).values()} == {"a", "m"}


def test_a_folder_of_images_is_enrolled_by_name(importing: TestClient, root: Path, tmp_path: Path) -> None:
    for path in ("van/a.png", "van/deep/b.png", ".hidden/c.png", "d\r.png"):
        (root / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "set" / path).write_bytes(png(len(path), 40, 30))
    (root / "set" / "notes.txt").write_text("hello")
    (root / "set" / "out").symlink_to(tmp_path)
    os.close(os.open(os.fsencode(root / "set") + b"/\xff.png", os.O_CREAT | os.O_WRONLY))
    job = imported(importing, path="set", identity_from_folder=True)
    assert (job["done"], job["total"], job["rejected"]) == (3, 3, 3)
    assert job["report"]["data_warnings"] == ["files in no format that is read, left out: 1 (notes.txt)"]
    reasons = {rejection["name"]: rejection["reason"] for rejection in rejections(importing, job)}
    assert reasons.keys() == {"out", "\\udcff.png", "d\r.png"}
    assert reasons["out"] == "'out' is a link, which is not followed"
    assert reasons["\\udcff.png"] == "its name is not in UTF-8: rename it"
    assert "control character" in reasons["d\r.png"]  # as in any name
    found = {record.fields.source: record.fields.identity for record in records(importing).values()}
    assert found == {"van/a.png": "van", "van/deep/b.png": "deep"}


def test_a_folder_with_a_manifest_is_that_manifest(importing: TestClient, root: Path) -> None:
    (root / "manifest.csv").write_text("path\n3.png\n")
    assert imported(importing, path=".")["total"] == 1


def test_the_rows_of_one_vehicle_are_embedded_once(importing: TestClient, root: Path) -> None:
    """More rows than a window has, of three images: the gallery says duplicate to all but three."""
    (root / "m.csv").write_text("path,identity\n" + "".join(f"{i % 3}.png,v\n" for i in range(5000)))
    job = imported(importing, path="m.csv")
    assert (job["done"], job["report"]["enrolled"], job["report"]["duplicates"]) == (5000, 3, 4997)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../secret.png", "'../secret.png' does not lie below SANET_IMPORT_ROOT"),
        ("/etc/passwd", "does not lie below"),
        ("/dev/zero", "does not lie below"),
        ("link.csv", "'link.csv' is a link"),
        ("linked-folder", "'linked-folder' is a link"),
        ("linked-folder/m.csv", "goes through a link"),
        ("linked-manifest", "'linked-manifest/manifest.csv' is a link"),
        ("pipe.csv", "neither a folder nor a regular file"),
        ("none.csv", "there is nothing at 'none.csv'"),
        ("a\0b", "NUL character"),
        ("noise.bin", "is no manifest: expected a CSV whose first line names the columns path"),
        ("zeros.bin", "it has a line of 1,000,000 characters or more"),
        ("empty.csv", "is no manifest"),
        ("header.csv", "has no line below its header"),
    ],
)
def test_a_path_that_no_import_could_follow_is_refused_at_once(
    importing: TestClient, root: Path, tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "m.csv").write_text("path\na.png\n")
    (root / "link.csv").symlink_to(tmp_path / "m.csv")
    (root / "linked-folder").symlink_to(tmp_path)
    (root / "linked-manifest").mkdir()
    (root / "linked-manifest" / "manifest.csv").symlink_to(tmp_path / "m.csv")
    os.mkfifo(root / "pipe.csv")
    (root / "noise.bin").write_bytes(bytes(range(256)) * 100)
    with (root / "zeros.bin").open("wb") as file:
        file.truncate(20_000_000_000)  # sparse: read to its end, it would fill the memory
    (root / "empty.csv").touch()
    (root / "header.csv").write_text("path,identity\n")
    response = importing.post("/jobs", json={"kind": "import", "path": path})
    assert response.status_code == 422, response.text
    assert response.json()["type"] == "urn:sanet:problem:unusable-data"
    assert said in response.json()["detail"]
    assert len(response.text) < 1000
    assert importing.get("/jobs").json()["total"] == 0


def test_without_an_import_root_the_answer_says_what_to_set(client: TestClient) -> None:
    response = client.post("/jobs", json={"kind": "import", "path": "m.csv"})
    assert (response.status_code, response.json()["type"]) == (409, "urn:sanet:problem:not-configured")
    assert "set SANET_IMPORT_ROOT" in response.json()["detail"]


def test_a_manifest_has_identities_of_its_own(importing: TestClient, root: Path) -> None:
    (root / "m.csv").write_text("path\n3.png\n")
    response = importing.post("/jobs", json={"kind": "import", "path": "m.csv", "identity_from_folder": True})
    assert response.status_code == 422
    assert "Leave out identity_from_folder" in response.json()["detail"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,role\n1.png,query\n2.png,junk\n", "m.csv has queries and junk only"),
        ("path,Camera\n1.png,north\n", "the column 'Camera' is not called 'camera'"),
        ("path,Tags\n1.png,x\n", "the column 'Tags' is not called 'tags'"),
    ],
)
def test_a_manifest_without_a_vehicle_fails_in_one_line(
    importing: TestClient, root: Path, text: str, said: str
) -> None:
    (root / "m.csv").write_text(text)
    response = importing.post("/jobs", json={"kind": "import", "path": "m.csv"})
    error = response.json()["detail"] if response.status_code == 422 else ended(importing, response.json())["error"]
    assert said in error
    assert "\n" not in error


def test_a_manifest_that_changes_while_it_is_imported_is_not_gone_on_with(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "m.csv").write_text("path\n" + "".join(f"{i % 10}.png\n" for i in range(200)))
    _stop_before(monkeypatch, 3)
    with serve(settings) as client:
        job = create(client, kind="import", path="m.csv")
        _reaches(client, job, 128)
    monkeypatch.undo()
    (root / "m.csv").write_text("path\n" + "".join(f"{i % 10}.png\n" for i in range(100)))
    with serve(settings) as client:
        job = ended(client, job)
        assert (job["state"], job["done"]) == ("failed", 128)
        assert "m.csv was changed while it was imported: start the import again" in job["error"]


def test_a_restart_goes_on_at_the_row_where_it_was(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{i % 10}.png" for i in range(200)]
    rows[100:100] = ["none.png", "text.png"]
    (root / "text.png").write_text("hello")
    (root / "m.csv").write_text("path,role\n" + "".join(f"{path},\n" for path in rows) + "1.png,wrong\n")
    _stop_before(monkeypatch, 2)
    with serve(settings) as client:
        job = create(client, kind="import", path="m.csv")
        before = _reaches(client, job, 65)  # one line that is none, and a chunk
        start = time.monotonic()
    assert time.monotonic() - start < 10
    monkeypatch.undo()
    seen: list[int] = []
    advance = Import._enrol_noted

    def noted(kind: Import, running: Any, *args: Any) -> Any:
        seen.append(running.num_done)
        return advance(kind, running, *args)

    monkeypatch.setattr(Import, "_enrol_noted", noted)
    with serve(settings) as client:
        job = ended(client, job)
        assert min(seen) >= before["done"]
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 203, 203, 3)
        assert (job["report"]["enrolled"], job["report"]["duplicates"]) == (10, 190)
        assert [rejection["row"] for rejection in rejections(client, job)] == [204, 102, 103]


def test_what_a_killed_process_had_enrolled_is_counted_as_enrolled(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between the gallery's commit and the job's own."""
    (root / "m.csv").write_text("path\n" + "".join(f"{i % 8}.png\n" for i in range(16)))
    enrol_noted = Import._enrol_noted
    done: list[int] = []

    def ends(kind: Import, job: Any, cursor: Any, enrolments: Any) -> Any:
        enrol_noted(kind, job, cursor, enrolments)
        done.append(1)
        job._interrupted.wait(30)
        raise OSError("the process ends here")

    with monkeypatch.context() as patch, serve(settings) as client:
        patch.setattr(Import, "_enrol_noted", ends)
        patch.setattr("service.jobs.job_store.JobStore.finish", lambda *_, **__: None)
        enrol(client, 98, 99)
        job = create(client, kind="import", path="m.csv")
        while not done:
            time.sleep(0.01)
    with serve(settings) as client:
        job = ended(client, job)
        assert (job["state"], job["done"]) == ("done", 16)
        assert (job["report"]["enrolled"], job["report"]["duplicates"]) == (8, 8)
        assert len(records(client)) == 10


def test_a_cancelled_import_ends_at_its_next_step_and_keeps_what_it_has(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "m.csv").write_text("path\n" + "".join(f"{i % 10}.png\n" for i in range(300)))
    _stop_before(monkeypatch, 2)
    with serve(settings) as client:
        job = create(client, kind="import", path="m.csv")
        _reaches(client, job, 64)
        response = client.delete(job["url"])
        assert (response.status_code, response.json()["cancelling"]) == (202, True)
        job = ended(client, job)
        assert (job["state"], job["cancelling"]) == ("cancelled", False)
        assert job["done"] == 64
        assert len(records(client)) == 3  # 30 rows show the first file, 30 the second, 4 the third
        assert client.delete(job["url"]).status_code == 204


def test_the_899_real_vehicles_are_imported(small_checkpoint: Path, tmp_path: Path, uav_frames: Path) -> None:
    """Those that the frames' manifest asks for and among; frames and manifest lie below one root, without links."""
    uav_frames = uav_frames.resolve()
    entries = [entry for entry in read_manifest(uav_frames / "manifest.csv").entries if entry.role is not None]
    absolute = [replace(entry, path=str(uav_frames / entry.path), role=None) for entry in entries]
    write_manifest(tmp_path / "m.csv", absolute, Protocol())
    root = Path(os.path.commonpath([tmp_path, uav_frames]))
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", import_root=root)
    with serve(settings) as client:
        job = imported(client, path=str(tmp_path / "m.csv"))
        assert (job["done"], job["rejected"], job["report"]["enrolled"]) == (899, 0, 899)
        assert client.get("/gallery/stats").json()["searchable"] == 899


def _stop_before(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Holds an import before its n-th batch, counted from 1, until it has to end."""
    embed = Background.embed
    batches = itertools.count(1)

    def held(background: Background, job: RunningJob, images: Any) -> Embeddings:
        if next(batches) >= batch:
            job.wait(3600)
        return embed(background, job, images)

    monkeypatch.setattr(Background, "embed", held)


def _reaches(client: TestClient, job: Any, num_done: int) -> Any:
    end = time.monotonic() + 60
    while (found := client.get(job["url"]).json())["done"] < num_done:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found
