import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.cores import usable_cores

CODE = "from model.cores import usable_cores; print(usable_cores())"


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def cgroups(folder: Path, membership: str, **files: str) -> int:
    """The usable cores where these control groups are mounted; "/" in a file's path is written as "__"."""
    (folder / "membership").write_text(membership)
    for name, text in files.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_cores(folder / "cgroup", folder / "membership")


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [
        ("max 100000\n", 8),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("300000 100000\n", 3),
        ("25000 50000\n", 1),
        ("1000 100000\n", 1),
        ("9900000 100000\n", 8),  # more than there are
        ("", 8),
        ("100000\n", 8),
        ("100000 0\n", 8),
        ("much 100000\n", 8),
    ],
)
def test_a_container_has_its_quota_of_version_2_at_the_root(tmp_path: Path, cpu_max: str, expected: int) -> None:
    assert cgroups(tmp_path, "0::/\n", cpu_DOT_max=cpu_max) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1\n", "100000\n", 8), ("200000\n", "100000\n", 2), ("50000\n", "100000\n", 1), ("250000\n", "100000\n", 3)],
)
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_container_has_its_quota_of_version_1(
    tmp_path: Path, mount: str, quota: str, period: str, expected: int
) -> None:
    files = {f"{mount}__cpu_DOT_cfs_quota_us": quota, f"{mount}__cpu_DOT_cfs_period_us": period}
    assert cgroups(tmp_path, "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n", **files) == expected


def test_the_least_of_all_groups_above_the_process_counts(tmp_path: Path) -> None:
    membership = "0::/system.slice/sanet.service/main\n"
    files = {
        "system.slice__cpu_DOT_max": "600000 100000",
        "system.slice__sanet.service__cpu_DOT_max": "200000 100000",
        "system.slice__sanet.service__main__cpu_DOT_max": "max 100000",
        "system.slice__another.service__cpu_DOT_max": "100000 100000",
    }
    assert cgroups(tmp_path, membership, **files) == 2


def test_a_group_of_version_1_below_the_mount_counts(tmp_path: Path) -> None:
    files = {"cpu__jobs__a__cpu_DOT_cfs_quota_us": "300000", "cpu__jobs__a__cpu_DOT_cfs_period_us": "100000"}
    assert cgroups(tmp_path, "2:cpuacct:/jobs/a\n1:cpu:/jobs/a\n", **files) == 3


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cores(tmp_path / "none", tmp_path / "none") == 1


def test_a_process_that_is_bound_to_one_core_uses_one() -> None:
    bound = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {CODE}"
    done = subprocess.run([sys.executable, "-c", bound], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
