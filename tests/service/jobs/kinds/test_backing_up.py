import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from index.embedded.backup.restoring import restore
from service.settings import Settings
from tests.index.embedded.stored_gallery import stored_values
from tests.service.conftest import enrol, serve
from tests.service.jobs.conftest import create, ended, rejections
from tests.service.jobs.kinds.exporting_service import (
    NUM_RECORDS,
    damage_image,
    serving_vehicles,
    with_exports,
    without_finish,
)


@pytest.fixture
def exporting(settings: Settings, tmp_path: Path) -> Settings:
    return with_exports(settings, tmp_path)


def restored(backup: Path, folder: Path) -> Path:
    restore(backup, folder, partial=False, progress=lambda *_: None, stop_asked=lambda: False)
    return folder


def test_a_backup_restores_to_the_same_gallery_and_the_next_one_copies_what_is_new(
    exporting: Settings, tmp_path: Path
) -> None:
    with serving_vehicles(exporting) as client:
        job = ended(client, create(client, kind="backup", path="monday/full"))
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 18, 18, 0)
        assert job["parameters"] == {"path": "monday/full", "check": False, "prune": False}
        report = job["report"]
        assert (report["records"], report["images"], report["copied"], report["kept"]) == (6, 6, 6, 0)
        assert (report["num_damaged_records"], report["num_lost_images"]) == (0, 0)
        backup = tmp_path / "exports" / "monday" / "full"
        assert stored_values(restored(backup, tmp_path / "first")) == stored_values(exporting.data_dir)

        enrol(client, 50)
        (first,) = client.get("/gallery", params={"source": "0.png"}).json()["records"]
        assert client.delete(f"/gallery/{first['id']}").status_code == 204
        job = ended(client, create(client, kind="backup", path=str(backup), check=True, prune=True))
        report = job["report"]
        assert (report["records"], report["copied"], report["kept"], report["pruned"]) == (6, 1, 5, 1)
        assert stored_values(restored(backup, tmp_path / "second")) == stored_values(exporting.data_dir)


def test_what_cannot_be_backed_up_whole_is_rejected_and_the_rest_is_there(exporting: Settings, tmp_path: Path) -> None:
    with serving_vehicles(exporting) as client:
        content = damage_image(exporting.data_dir, 2)
        job = ended(client, create(client, kind="backup", path="b"))
        assert (job["state"], job["rejected"]) == ("done", 1)
        assert (job["report"]["images"], job["report"]["num_lost_images"]) == (NUM_RECORDS - 1, 1)
        (found,) = rejections(client, job)
        assert found["name"] == content
        assert "is damaged, and no intact copy of it is in the trash" in found["reason"]


def test_a_process_that_ends_before_it_can_say_so_has_backed_up(
    exporting: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, serving_vehicles(exporting) as client:
        without_finish(patch)
        damage_image(exporting.data_dir, 0)
        job = create(client, kind="backup", path="b")
        while (before := client.get(job["url"]).json())["report"] is None:
            time.sleep(0.01)
    with serve(exporting) as client:
        job = ended(client, job)
        assert job["state"] == "done"
        assert job["report"] == before["report"]
        assert job["rejected"] == len(rejections(client, job)) == 1


def test_a_folder_that_is_not_to_be_written_is_refused_at_once(exporting: Settings, tmp_path: Path) -> None:
    (tmp_path / "exports" / "link").symlink_to(tmp_path)
    (tmp_path / "exports" / "mine").mkdir()
    (tmp_path / "exports" / "mine" / "notes.txt").touch()
    refused = {
        "../b": "does not lie below SANET_EXPORT_ROOT",
        "/b": "does not lie below",
        ".": "is SANET_EXPORT_ROOT itself",
        "link": "is a link",
        "link/b": "is a link",
        "mine": "'mine' is neither empty nor a backup: name another folder",
        "mine/notes.txt": "is a file",
    }
    with serve(exporting) as client:
        for path, said in refused.items():
            response = client.post("/jobs", json={"kind": "backup", "path": path})
            assert (response.status_code, response.json()["type"]) == (422, "urn:sanet:problem:unusable-data")
            assert said in response.json()["detail"]
        assert client.get("/jobs").json()["total"] == 0


def test_a_link_within_an_earlier_backup_is_not_followed(exporting: Settings, tmp_path: Path) -> None:
    with serving_vehicles(exporting) as client:
        ended(client, create(client, kind="backup", path="b"))
        images = tmp_path / "exports" / "b" / "images"
        images.rename(tmp_path / "elsewhere")
        images.symlink_to(tmp_path / "elsewhere")
        job = ended(client, create(client, kind="backup", path="b"))
        assert (job["state"], job["error"]) == (
            "failed",
            "'b/images' is a link, which is not followed: remove it",
        )


def test_without_an_export_root_the_answer_says_what_to_set(client: TestClient) -> None:
    response = client.post("/jobs", json={"kind": "backup", "path": "b"})
    assert (response.status_code, response.json()["type"]) == (409, "urn:sanet:problem:not-configured")
    assert "set SANET_EXPORT_ROOT" in response.json()["detail"]
