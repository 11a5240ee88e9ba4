import time
from pathlib import Path
from typing import Any

import pytest

from service.instruments.job_series import job_series
from service.jobs.job import JobTally, Rejection
from service.jobs.jobs import Jobs
from service.jobs.opening import open_job_store
from service.settings import Settings
from tests.conftest import png
from tests.service.conftest import serve
from tests.service.instruments.scraped import key, scrape


def wait_until_ended(client: Any, url: str) -> str:
    end = time.monotonic() + 60
    while (state := str(client.get(url).json()["state"])) in ("queued", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    return state


def test_jobs_are_counted_by_kind_and_state_and_their_rows(small_checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for seed in range(3):
        (root / f"{seed}.png").write_bytes(png(seed))
    (root / "broken.png").write_bytes(png(9)[:200])
    settings = Settings(checkpoint=small_checkpoint, data_dir=tmp_path / "data", device="cpu", import_root=root)
    with serve(settings) as client:
        before = scrape(client)
        assert before[key("sanet_jobs", kind="import", state="failed")] == 0
        assert before[key("sanet_job_rows_total", kind="import")] == 0
        url = client.post("/jobs", json={"kind": "import", "path": "."}).json()["url"]
        assert wait_until_ended(client, url) == "done"
        job = client.get(url).json()
        seen = scrape(client)
        assert job["done"] == 4
        assert job["rejected"] == 1
        assert seen[key("sanet_jobs", kind="import", state="done")] == 1
        assert seen[key("sanet_jobs", kind="import", state="running")] == 0
        assert seen[key("sanet_job_rows_total", kind="import")] == 4
        assert seen[key("sanet_job_rejected_rows_total", kind="import")] == 1
        assert seen[key("sanet_job_running_seconds", kind="import")] == 0
        assert seen[key("sanet_embedding_batch_images_sum", kind="background")] == 3
        assert seen[key("sanet_embedding_device_seconds_total", kind="background")] > 0
    with serve(settings) as client:  # what is stored counts, not what this process did
        assert scrape(client)[key("sanet_job_rows_total", kind="import")] == 4


def test_tallies_are_one_for_each_kind_and_state(tmp_path: Path) -> None:
    store = open_job_store(tmp_path)
    assert store.tallies() == []
    for kind in ("import", "import", "import", "verify"):
        store.create(kind, {})
    first = store.claim()
    assert first is not None
    store.advance(first, 5, cursor=None, report=None, num_total=9, rejections=[Rejection(1, "x", None, "broken")])
    store.finish(first.id, "failed", error="x")
    second = store.claim()
    assert second is not None
    store.advance(second, 2, cursor=None, report=None, num_total=9, rejections=[])
    by_key = {(tally.kind, tally.state): tally for tally in store.tallies()}
    assert by_key.keys() == {("import", "failed"), ("import", "running"), ("import", "queued"), ("verify", "queued")}
    assert by_key["import", "failed"][2:5] == (1, 5, 1)
    assert by_key["import", "running"] == JobTally("import", "running", 1, 2, 0, store.get(second.id).run_started_at)
    assert by_key["verify", "queued"] == JobTally("verify", "queued", 1, 0, 0, None)
    store.close()


@pytest.mark.parametrize("kind", ["import", "verify"])
def test_a_job_that_runs_says_for_how_long(tmp_path: Path, kind: str) -> None:
    jobs = Jobs(tmp_path)
    jobs.store.create(kind, {})
    jobs.store.claim()
    time.sleep(0.05)
    families = {family.name: family for family in job_series(jobs)}
    (running,) = families["sanet_job_running_seconds"].samples
    assert running.labels == {"kind": kind}
    assert 0.05 <= running.value < 60
    jobs.close()
