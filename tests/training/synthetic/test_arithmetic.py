import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from training.synthetic.arithmetic import pinned_arithmetic

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "LP_NATIVE_VECTOR_WIDTH")
ON_X86 = platform.machine() in ("x86_64", "AMD64")

# Sums of products in the orders that OpenBLAS's kernels choose, and functions with routines of their own for AVX-512.
CALCULATE = """
import hashlib, json, numpy as np
random = np.random.default_rng(1)
x = random.uniform(0.01, 3, (200, 3))
results = [np.sin(x), np.exp(x), np.log(x), x ** 2.2, np.arctan2(x, x[::-1]), x @ x.T]
results += [x.astype(np.float32) @ x.T[:, :3].astype(np.float32)]
results += [np.exp(x.astype(np.float32)), x.astype(np.float32) ** np.float32(2.2)]
print(json.dumps(hashlib.sha256(b"".join(np.ascontiguousarray(r).tobytes() for r in results)).hexdigest()))
"""


def calculated(further: dict[str, str]) -> str:
    """What a new process calculates."""
    printed = subprocess.run(
        [sys.executable, "-c", CALCULATE],
        cwd=ROOT,
        env=os.environ | further,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stderr == ""
    return str(json.loads(printed.stdout))


@pytest.mark.skipif(not ON_X86, reason="the variables are those of x86-64")
@pytest.mark.parametrize("before", [None, "AVX512_ICL"])
def test_variables_are_set_within_and_as_before_afterwards(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(NAMES[0], before)
    with pinned_arithmetic():
        assert [os.environ[name] for name in NAMES] == ["X86_V4 AVX512_ICL AVX512_SPR", "Haswell", "256"]
    assert [os.environ.get(name) for name in NAMES] == [before, None, None]


@pytest.mark.skipif(not ON_X86, reason="the variables are those of x86-64")
def test_a_pinned_process_calculates_as_on_another_processor() -> None:
    """The kernels and the widths of other processors, but for AVX-512, which nothing here can be without."""
    with pinned_arithmetic():
        pinned = calculated({})
        assert calculated({"OPENBLAS_CORETYPE": "Zen", "LP_NATIVE_VECTOR_WIDTH": "128"}) == pinned
    without = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENBLAS_CORETYPE": "Haswell"}
    assert calculated(without) == pinned


def test_elsewhere_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    before = dict(os.environ)
    with pinned_arithmetic():
        assert dict(os.environ) == before
