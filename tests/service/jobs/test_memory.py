"""An import of any number of rows needs no more memory than one of a few thousand, and says early how long it takes."""

import time
from pathlib import Path

import pytest

from benchmarks.live_service import LiveService
from tests.conftest import png
from tests.service.jobs.conftest import create

MOST_MB = {60_000: 20, 1_000_000: 100}
"""By the number of rows, of which the entries alone would be 42 and 700 MB."""


def memory_mb(service: LiveService) -> float:
    assert service._process is not None
    status = Path(f"/proc/{service._process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


@pytest.mark.parametrize("num_rows", [60_000, pytest.param(1_000_000, marks=pytest.mark.trial)])
def test_rows_are_not_kept(small_checkpoint: Path, tmp_path: Path, num_rows: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for seed in range(5):
        (root / f"{seed}.png").write_bytes(png(seed, 40, 30))
    with (root / "m.csv").open("w") as file:
        file.write("path,identity,note\n")
        file.writelines(f"{i % 5}.png,vehicle-{i % 997},row {i}\n" for i in range(num_rows))
    with LiveService(small_checkpoint, tmp_path / "data", import_root=str(root), device="cpu") as service:
        job = create(service.client, kind="import", path="m.csv")
        while (found := service.client.get(job["url"]).json())["done"] < 5000:  # all that is allocated once
            assert found["state"] in ("queued", "running"), found
            time.sleep(0.1)
        before = most = memory_mb(service)
        estimated_end = None
        while found["state"] == "running":
            most = max(most, memory_mb(service))
            if estimated_end is None and found["done"] >= num_rows / 10:
                tenth = time.monotonic()
                estimated_end = tenth + found["remaining_s"]
            time.sleep(0.25)
            found = service.client.get(job["url"]).json()
        assert estimated_end is not None
        took_s = time.monotonic() - tenth
        error = (estimated_end - tenth) / took_s - 1
        print(f"{num_rows} rows: {most - before:.0f} MB more, {took_s:.0f} s after a tenth, estimated {error:+.0%}")  # noqa: T201
        assert (found["state"], found["done"], found["total"]) == ("done", num_rows, num_rows)
        assert (found["report"]["enrolled"], found["report"]["duplicates"]) == (5, num_rows - 5)
        assert most - before < MOST_MB[num_rows]
        if num_rows == 1_000_000:  # of a shorter one, whatever else the machine does is a large part
            assert abs(error) < 0.2
