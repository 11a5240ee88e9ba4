import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.memory import reuse_memory

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 64

PROGRAM = f"""
import json, os, resource, sys
from training.memory import reuse_memory
for _ in range(int(sys.argv[1])):
    reuse_memory()
import torch

def faults_of(num):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(num):
        tensor = torch.ones({MEGABYTES} * 2**20 // 4)
        del tensor
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
faults_of(int(sys.argv[2]))
print(json.dumps({{"warm": faults_of(10), "asked": os.environ.get("THP_MEM_ALLOC_ENABLE")}}))
"""


def faults(num_calls: int, num_first: int) -> dict[str, Any]:
    """Page faults of a process that allocates and frees a large tensor ten times, after the first few."""
    clean = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", PROGRAM, str(num_calls), str(num_first)]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc has another malloc")
def test_a_warm_process_uses_its_memory_again() -> None:
    # glibc needs some rounds until an aligned allocation fits into what an earlier one left.
    without, called = faults(0, num_first=2), faults(2, num_first=60)
    # A page is 4 KB, or a huge one of 2 MB where the system hands them out unasked.
    assert without["warm"] >= 10 * MEGABYTES // 2
    assert called["warm"] < 30
    assert (without["asked"], called["asked"]) == (None, "1")


def test_a_choice_of_the_users_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", _absent)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    reuse_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


def _absent(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize("libc", [_absent, lambda name: object()])
def test_without_glibc_nothing_happens(libc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", libc)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    reuse_memory()
    reuse_memory()
