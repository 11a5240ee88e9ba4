"""FAISS and torch each bring an OpenMP and, for GPUs, a CUDA of another version: both orders, both extras."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import {first}
import {second}
import numpy as np
vectors = np.random.default_rng(0).normal(size=(3000, 2560)).astype(np.float32)
index = faiss.IndexFlatL2(2560)
index.add(vectors)
convolution = torch.nn.Conv2d(3, 8, 3)
for _ in range(3):  # in turn, so that each runs after the other has started its threads
    _, found = index.search(vectors[:100], 1)
    assert (found[:, 0] == np.arange(100)).all()
    images = torch.rand(8, 3, 64, 64)
    assert torch.isfinite(convolution(images)).all()
    assert torch.allclose(images @ images, torch.einsum("ncij,ncjk->ncik", images, images), atol=1e-4)
print(faiss.__file__)
"""


def run(first: str, second: str, path: str) -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    program = _PROGRAM.format(first=first, second=second)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("first", "second"), [("faiss", "torch"), ("torch", "faiss")])
def test_the_installed_extra_works_in_both_orders(first: str, second: str) -> None:
    assert Path(run(first, second, "")).is_relative_to(sys.prefix)


@pytest.mark.parametrize(("first", "second"), [("faiss", "torch"), ("torch", "faiss")])
def test_the_other_extra_works_in_both_orders(first: str, second: str) -> None:
    folder = os.environ.get("FAISS_OF_OTHER_EXTRA")
    if folder is None:
        pytest.skip("only `make test` installs the FAISS of the other extra")
    assert Path(run(first, second, folder)).is_relative_to(Path(folder).resolve())
