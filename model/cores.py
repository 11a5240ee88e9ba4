"""How many cores this process may use: those of its CPU affinity, unless its control group allows less time."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def usable_cores(cgroup_root: Path = _CGROUP_ROOT, membership: Path = _MEMBERSHIP) -> int:
    """As many threads as can compute at the same time; at least 1.

    `os.cpu_count` has the machine's cores. `taskset` leaves a process fewer of them, `docker run --cpus` or a limit of
    Kubernetes less time on all: with one thread per core of the machine, they then wait for each other.

    Args:
        cgroup_root: where control groups are mounted.
        membership: the file that names the control groups of this process.
    """
    # A quota of 1.5 cores keeps two threads busy, one of them half of the time.
    quotas = [math.ceil(quota) for quota in _quotas(cgroup_root, membership)]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """The cores' worth of time that each control group above this process allows; none where time is not limited."""
    for folder in _folders(root, membership):
        # Version 2: "max 100000", or the quota and the period that it holds for, in microseconds.
        yield from _ratio(_words(folder / "cpu.max"))
        # Version 1: the same in two files, and -1 where there is no limit.
        yield from _ratio(_words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"))


def _folders(root: Path, membership: Path) -> Iterator[Path]:
    """The mounted folders of this process's control groups and of all above them.

    Inside a container they are mounted at the root, and the names may be those that the host knows.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 2)[2].strip("/") for line in lines if line.count(":") >= 2]
    for mount in (root, root / "cpu", root / "cpu,cpuacct"):
        yield mount
        for name in sorted(set(names)):
            group = mount
            for part in name.split("/"):
                group /= part
                yield group


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _ratio(words: list[str]) -> Iterator[float]:
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]) > 0:
        yield int(words[0]) / int(words[1])
