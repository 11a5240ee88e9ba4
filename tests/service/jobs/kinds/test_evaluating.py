from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from index.datasets.manifest import Entry, read_manifest, write_manifest
from index.datasets.protocol import Protocol
from model.embeddings import Embeddings
from service.jobs.background import Background
from service.jobs.running_job import RunningJob
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import serve
from tests.service.jobs.conftest import create, ended
from tests.service.test_metrics import NUM_IMAGES, count_batches, figures, run_evaluate, settled, write_heldout


@pytest.fixture
def heldout(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"heldout": write_heldout(tmp_path / "heldout")})


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("heldout", "evaluated_at")}


def evaluations(client: TestClient) -> list[Any]:
    found: list[Any] = client.get("/jobs?kind=evaluate").json()["jobs"]
    return found


def test_the_first_evaluation_is_a_job_and_its_result_outlives_a_restart(
    heldout: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(heldout) as client:
        before = settled(client)
        (job,) = evaluations(client)
        assert (job["state"], job["done"], job["total"], job["parameters"]) == (
            "done",
            NUM_IMAGES,
            NUM_IMAGES,
            {"rerank": False},
        )
        assert {"heldout": before["heldout"], **job["report"]} == before
    batches = count_batches(monkeypatch)
    with serve(heldout) as client:
        assert figures(client) == before
        assert len(evaluations(client)) == 1
    assert batches == [1]  # the warm-up alone


def test_another_set_or_numeric_path_is_evaluated_anew(heldout: Settings, tmp_path: Path) -> None:
    with serve(heldout) as client:
        before = settled(client)
    with serve(heldout.model_copy(update={"precision": "bf16"})) as client:
        assert settled(client)["precision"] == "bf16"
        assert len(evaluations(client)) == 2
    manifest = read_manifest(tmp_path / "heldout" / "manifest.csv")
    write_manifest(tmp_path / "heldout" / "manifest.csv", manifest.entries[2:], manifest.protocol)
    with serve(heldout) as client:
        assert settled(client)["dataset_fingerprint"] != before["dataset_fingerprint"]
        assert len(evaluations(client)) == 3
    (tmp_path / "heldout" / "1-1.png").write_bytes(png(5))  # the same lines, another picture
    with serve(heldout) as client:
        settled(client)
        assert len(evaluations(client)) == 4


def test_one_that_failed_or_was_cancelled_is_done_again_at_the_next_start(
    heldout: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "heldout" / "3-0.png"
    data, written = image.read_bytes(), image.stat()
    with monkeypatch.context() as patch:
        patch.setattr(Background, "embed", lambda _, job, __: job.wait(3600))
        with serve(heldout) as client:
            (job,) = evaluations(client)
            client.delete(job["url"])
            ended(client, job)
            assert figures(client)["heldout"] == {
                "state": "failed",
                "num_done": 0,
                "num_total": NUM_IMAGES,
                "error": "it was cancelled",
            }
    image.unlink()
    with serve(heldout) as client:
        assert settled(client)["heldout"]["state"] == "failed"
    image.write_bytes(data)
    assert written.st_size == image.stat().st_size
    with serve(heldout) as client:
        assert settled(client)["heldout"]["state"] == "done"
        assert [job["state"] for job in evaluations(client)] == ["done", "failed", "cancelled"]


def test_a_restart_does_not_embed_again_what_was_embedded(heldout: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = Background.embed
    asked: list[int] = []

    def held(background: Background, job: RunningJob, images: Any) -> Embeddings:
        asked.append(len(images))
        if len(asked) > 2:
            job.wait(3600)
        return embed(background, job, images)

    with monkeypatch.context() as patch, serve(heldout) as client:
        patch.setattr(Background, "embed", held)
        while figures(client)["heldout"]["num_done"] < 16:
            pass
    batches = count_batches(monkeypatch)
    with serve(heldout) as client:
        assert figures(client)["heldout"]["num_done"] >= 16
        seen = settled(client)
        assert len(evaluations(client)) == 1
    assert batches == [1, 8, 5]  # the warm-up, and what was left
    undisturbed = heldout.model_copy(update={"data_dir": heldout.data_dir.with_name("other")})
    with serve(undisturbed) as client:
        assert without_time(settled(client)) == without_time(seen)


@pytest.mark.parametrize("rerank", [False, True])
def test_data_below_the_root_are_evaluated_as_the_command_does(
    settings: Settings, root: Path, rerank: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_heldout(root / "set")
    with serve(settings) as client:
        job = ended(client, create(client, kind="evaluate", data="set", rerank=rerank))
        assert job["state"] == "done", job
        assert figures(client)["heldout"]["state"] == "absent"  # it is another set
    further = ["--rerank"] if rerank else []
    of_set = settings.model_copy(update={"heldout": root / "set"})
    expected = run_evaluate(monkeypatch, capsys, of_set, *further)
    expected = expected.get("reranked", expected)
    assert job["report"]["cmc_curve"] == expected["cmc_curve"]
    assert job["report"]["map"] == expected["map"]
    assert (job["report"]["refinement"] is not None) is rerank


def test_metrics_shows_the_last_evaluation_on_the_heldout_set(heldout: Settings) -> None:
    with serve(heldout) as client:
        first = settled(client)
        ended(client, create(client, kind="evaluate", rerank=True))
        assert figures(client) == first  # of plain distances
        again = ended(client, create(client, kind="evaluate"))
        seen = figures(client)
        assert seen["evaluated_at"] == again["report"]["evaluated_at"] >= first["evaluated_at"]
        assert without_time(seen) == without_time(first)


@pytest.mark.parametrize("path", ["../secret.png", "link.png", "{parent}/secret.png", "/etc/passwd"])
def test_an_evaluation_reads_nothing_outside_the_root(settings: Settings, root: Path, path: str) -> None:
    (root.parent / "secret.png").write_bytes(png(1))
    (root / "link.png").symlink_to(root.parent / "secret.png")
    entries = [Entry("0.png", "a", role="gallery"), Entry(path.format(parent=root.parent), "a", role="query")]
    write_manifest(root / "m.csv", entries, Protocol())
    with serve(settings) as client:
        job = ended(client, create(client, kind="evaluate", data="m.csv"))
        assert job["state"] == "failed"
        assert "is a link" in job["error"] or "does not lie below SANET_IMPORT_ROOT" in job["error"]


def test_a_linked_manifest_or_sidecar_is_not_read(settings: Settings, root: Path) -> None:
    entries = [Entry("0.png", "a", role="gallery"), Entry("1.png", "a", role="query")]
    write_manifest(root.parent / "m.csv", entries, Protocol())
    (root / "m.csv").symlink_to(root.parent / "m.csv")
    (root / "set").mkdir()
    (root / "set" / "manifest.csv").write_bytes((root.parent / "m.csv").read_bytes())
    (root / "set" / "manifest.json").symlink_to(root.parent / "m.json")
    with serve(settings) as client:
        response = client.post("/jobs", json={"kind": "evaluate", "data": "m.csv"})
        assert response.status_code == 422
        assert "'m.csv' is a link" in response.json()["detail"]
        job = ended(client, create(client, kind="evaluate", data="set"))
        assert (job["state"], job["error"]) == ("failed", "'set/manifest.json' is a link, which is not followed")
