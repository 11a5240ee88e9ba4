import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.service.conftest import serve
from tests.service.jobs.conftest import create, ended, rejections
from tests.service.jobs.kinds.exporting_service import NUM_RECORDS, damage_image, serving_vehicles, without_finish

SOUND = {"database": 0, "records": 0, "images": 0, "stray_images": 0, "trash": 0, "snapshot": 0}


@pytest.fixture
def vehicles(settings: Settings) -> Iterator[TestClient]:
    with serving_vehicles(settings) as client:
        yield client


def test_a_sound_gallery_is_said_to_be(vehicles: TestClient) -> None:
    job = ended(vehicles, create(vehicles, kind="verify"))
    assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 12, 12, 0)
    assert job["report"] == {
        "sound": True,
        "records": NUM_RECORDS,
        "images": NUM_RECORDS,
        "num_damaged": SOUND,
        "stray_images": 0,
        "unfinished_images": 0,
        "num_foreign_files": 0,
        "repair": None,
    }


def test_every_damage_is_a_rejection_and_the_job_is_done(vehicles: TestClient, settings: Settings) -> None:
    folder = settings.data_dir
    damaged = damage_image(folder, 0)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as database:
        found = database.execute("SELECT id, source, content FROM record ORDER BY content").fetchall()
        record_id, source, content = found[-1]
        database.execute("UPDATE record SET identity = 'somebody else' WHERE id = ?", [record_id])
        database.commit()
    missing = found[1][2]
    (folder / "images" / missing[:2] / missing).unlink()
    stray = "ab" + 62 * "0"
    (folder / "images" / "ab").mkdir(exist_ok=True)
    (folder / "images" / "ab" / stray).write_bytes(b"not what its name says")
    (folder / "images" / "ab" / "notes.txt").touch()
    in_trash = folder / "trash" / "2026-01-02" / "images" / "cd" / ("cd" + 62 * "0")
    in_trash.parent.mkdir(parents=True)
    in_trash.write_bytes(b"nor this")

    job = ended(vehicles, create(vehicles, kind="verify"))
    assert job["state"] == "done"
    report = job["report"]
    assert not report["sound"]
    assert report["num_damaged"] == SOUND | {"records": 1, "images": 2, "stray_images": 1, "trash": 1}
    assert report["num_foreign_files"] == 1
    assert "python -m index.verify --repair" in report["repair"]
    reasons = {one["name"]: one["reason"] for one in rejections(vehicles, job)}
    assert len(reasons) == job["rejected"] == sum(report["num_damaged"].values())
    assert reasons.keys() == {
        source,
        f"images/{damaged[:2]}/{damaged}",
        f"images/{missing[:2]}/{missing}",
        f"images/ab/{stray}",
        str(in_trash.relative_to(folder)),
    }
    assert record_id in reasons[source]
    assert f"its image is images/{content[:2]}/{content}" in reasons[source]
    assert reasons[f"images/{damaged[:2]}/{damaged}"].startswith("it is damaged, and named by ")
    assert reasons[f"images/{missing[:2]}/{missing}"].startswith("it is missing, and named by ")


def test_nothing_is_changed(vehicles: TestClient, settings: Settings) -> None:
    damage_image(settings.data_dir, 0)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (settings.data_dir / "images").rglob("*") if path.is_file()}

    before = files()
    ended(vehicles, create(vehicles, kind="verify"))
    assert files() == before


def test_a_process_that_ends_before_it_can_say_so_rejects_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, serving_vehicles(settings) as client:
        without_finish(patch)
        damage_image(settings.data_dir, 0)
        job = create(client, kind="verify")
        while client.get(job["url"]).json()["report"] is None:
            time.sleep(0.01)
    with serve(settings) as client:
        job = ended(client, job)
        assert (job["state"], job["rejected"], len(rejections(client, job))) == ("done", 1, 1)


def test_a_verification_takes_no_parameters(vehicles: TestClient) -> None:
    response = vehicles.post("/jobs", json={"kind": "verify", "repair": True})
    assert response.status_code == 422
    assert "repair: there is no such field" in response.json()["detail"]
