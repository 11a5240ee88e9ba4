import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from index.embedded.backup.parquet_folder import import_folder
from index.embedded.backup.staged_folder import staged_folder
from service.settings import Settings
from tests.index.embedded.stored_gallery import stored_values
from tests.service.conftest import serve
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


@pytest.mark.parametrize(("compression", "codec"), [("zstd", "ZSTD"), ("none", "UNCOMPRESSED")])
def test_an_export_imports_to_the_same_gallery(
    exporting: Settings, tmp_path: Path, compression: str, codec: str
) -> None:
    with serving_vehicles(exporting) as client:
        job = ended(client, create(client, kind="export", path="new/one", compression=compression))
        assert (job["state"], job["done"], job["total"], job["rejected"]) == ("done", 12, 12, 0)
        assert job["report"] == {
            "out": "new/one",
            "records": NUM_RECORDS,
            "images": NUM_RECORDS,
            "parquet_files": {"records-00000.parquet": NUM_RECORDS},
            "num_damaged_records": 0,
            "num_lost_images": 0,
        }
        out = tmp_path / "exports" / "new" / "one"
        column = pq.ParquetFile(out / "records-00000.parquet").metadata.row_group(0).column(0)
        assert column.compression == codec
        import_folder(out, tmp_path / "imported", lambda *_: None, lambda: False)
        assert stored_values(tmp_path / "imported") == stored_values(exporting.data_dir)
        again = client.post("/jobs", json={"kind": "export", "path": "new/one"})
        assert again.status_code == 422
        assert "'new/one' is not empty: name another folder" in again.json()["detail"]


def test_what_has_to_be_left_out_is_rejected_and_named_in_the_export(exporting: Settings, tmp_path: Path) -> None:
    with serving_vehicles(exporting) as client:
        content = damage_image(exporting.data_dir, 1)
        job = ended(client, create(client, kind="export", path="e"))
        assert (job["state"], job["rejected"], job["report"]["num_lost_images"]) == ("done", 1, 1)
        (found,) = rejections(client, job)
        assert found["name"] == content
        described = json.loads((tmp_path / "exports" / "e" / "export.json").read_text())
        assert [one["content"] for one in described["lost_images"]] == [content]


def test_a_folder_that_appeared_before_the_process_ended_is_the_jobs_own(
    exporting: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process ends between the folder's appearance and the report."""

    @contextmanager
    def staged_then_ends(target: Path) -> Iterator[Path]:
        with staged_folder(target) as folder:
            yield folder
        raise OSError("the process ends here")

    with monkeypatch.context() as patch, serving_vehicles(exporting) as client:
        damage_image(exporting.data_dir, 0)
        undisturbed = ended(client, create(client, kind="export", path="undisturbed"))
        without_finish(patch)
        patch.setattr("index.embedded.backup.parquet_folder.staged_folder", staged_then_ends)
        job = create(client, kind="export", path="killed")
        while not (tmp_path / "exports" / "killed" / "export.json").exists():
            time.sleep(0.01)
    with serve(exporting) as client:
        job = ended(client, job)
        assert (job["state"], job["rejected"]) == ("done", 1)
        assert job["report"] | {"out": "undisturbed"} == undisturbed["report"]
        assert len(rejections(client, job)) == 1


def test_a_folder_that_somebody_else_filled_is_not_taken_for_the_jobs(
    exporting: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving_vehicles(exporting) as client:
        monkeypatch.setattr("service.jobs.kinds.exporting.Export.check", lambda *_: None)
        (tmp_path / "exports" / "e").mkdir()
        (tmp_path / "exports" / "e" / "notes.txt").touch()
        job = ended(client, create(client, kind="export", path="e"))
        assert (job["state"], job["error"]) == ("failed", "'e' is not empty: name another folder")
        assert [path.name for path in (tmp_path / "exports" / "e").iterdir()] == ["notes.txt"]


def test_a_link_in_the_place_of_the_unfinished_folder_is_not_emptied(exporting: Settings, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "exports" / ".e.unfinished").symlink_to(tmp_path / "precious")
    with serving_vehicles(exporting) as client:
        job = ended(client, create(client, kind="export", path="e"))
        assert job["state"] == "failed"
        assert "is a link: remove it" in job["error"]
    assert (tmp_path / "precious" / "file").exists()


def test_a_body_that_is_no_export_is_refused(exporting: Settings) -> None:
    refused: list[tuple[dict[str, object], str]] = [
        ({"path": "../e"}, "does not lie below SANET_EXPORT_ROOT"),
        ({"path": f"{exporting.export_root}/../e"}, "does not lie below SANET_EXPORT_ROOT"),
        ({"path": "e", "compression": "gzip"}, "compression: "),
        ({"path": "e", "compression": None}, "compression: "),
        ({}, "path: this field is required"),
        ({"path": "e", "check": True}, "check: there is no such field"),
    ]
    with serve(exporting) as client:
        for body, said in refused:
            response = client.post("/jobs", json={"kind": "export", **body})
            assert response.status_code == 422
            assert said in response.json()["detail"]


def test_without_an_export_root_the_answer_says_what_to_set(client: TestClient) -> None:
    response = client.post("/jobs", json={"kind": "export", "path": "e"})
    assert response.status_code == 409
    assert "set SANET_EXPORT_ROOT" in response.json()["detail"]
