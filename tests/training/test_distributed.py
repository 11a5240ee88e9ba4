"""Two real processes must find what one finds on the same batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from model.checkpoint import load_checkpoint
from tests.training.gradient_process import (
    ALIGNED,
    RUNS,
    batch,
    build,
    frozen_steps,
    gradients,
    in_float64,
    seen_by_the_trunk,
)
from tests.training.runs import ROOT, SMALL, log_of, write_vehicles
from training import distributed

NUM_PROCESSES = 2


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote down."""
    folder = tmp_path_factory.mktemp("processes")
    common = {
        **os.environ, "WORLD_SIZE": str(NUM_PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.training.gradient_process", str(folder)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(NUM_PROCESSES)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0] * NUM_PROCESSES
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return folder


def found_by(folder: Path, name: str, rank: int = 0) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / f"{name}-{rank}.safetensors")


@in_float64
def alone() -> dict[str, Tensor]:
    """Gradients and loss terms by torch alone, in one process."""
    trainee = build()
    images, labels = batch()
    terms, _ = trainee(seen_by_the_trunk(trainee, images), labels)
    terms["total"].backward()
    found = gradients(trainee)
    assert len(found) == len(list(trainee.parameters()))
    return found | {f"terms.{name}": term.detach() for name, term in terms.items()}


def test_two_processes_have_the_gradients_of_one(folder: Path) -> None:
    found, expected = found_by(folder, "gradients"), alone()
    assert found.keys() == expected.keys()
    assert sum(name.startswith("terms.") for name in found) == 1 + 3 + 6 + 1
    assert any(name.startswith("network.alignment.") for name in found)
    for name, tensor in found.items():
        assert tensor.dtype == torch.float64
        # Beside the largest number of the tensor: small ones are sums of large ones.
        largest = expected[name].abs().max()
        assert largest > 0
        assert (tensor - expected[name]).abs().max() <= 1e-10 * largest


@pytest.mark.parametrize("name", ["gradients", "frozen", "frozen, aligned", *RUNS])
def test_all_processes_have_the_same_gradients_loss_terms_and_weights(name: str, folder: Path) -> None:
    first, second = ((folder / f"{name}-{rank}.txt").read_text() for rank in range(NUM_PROCESSES))
    assert first == second


def nearest_negatives(features: Tensor, labels: Tensor) -> list[int]:
    """For each anchor, with plain loops."""
    return [
        min(
            (position for position, label in enumerate(labels) if label != labels[anchor]),
            key=lambda position: float((features[anchor] - features[position]).norm()),
        )
        for anchor in range(len(labels))
    ]


@in_float64
def test_negatives_are_mined_across_processes(folder: Path) -> None:
    trainee = build()
    images, labels = batch()
    with torch.no_grad():
        branches, _ = trainee.network.branch_features(seen_by_the_trunk(trainee, images))
        assert trainee.necks is not None
        branches = trainee.necks(branches)
        halves = [
            trainee.objective([branch[half] for branch in branches], labels[half])
            for half in (slice(0, 4), slice(4, 8))
        ]
    # It is a batch in which every anchor's hardest negative is the other process's ...
    here = [anchor // 4 for anchor in range(8)]
    assert [position // 4 for position in nearest_negatives(branches[0], labels)] == [1 - half for half in here]
    # ... and who mines in his own half has another loss.
    found = found_by(folder, "gradients")
    for name in ("triplet_g", "triplet_ss", "triplet_t", "triplet_d", "triplet_l", "triplet_r"):
        assert found[f"terms.{name}"] > 1.01 * sum(half[name] for half in halves) / 2


@pytest.mark.parametrize(
    ("name", "changes", "terms"),
    [
        ("frozen", {}, {"0.total", "1.id_g", "1.triplet_g", "classifiers.g.weight", "classifiers.g.bias"}),
        ("frozen, aligned", ALIGNED, {"0.total", "1.id_td", "1.contrastive", "average.classifiers.g.weight"}),
    ],
)
def test_a_trainers_steps_are_those_of_one_process(
    name: str, changes: dict[str, Any], terms: set[str], folder: Path
) -> None:
    # Frozen, for BatchNorm has statistics of its own in each process.
    expected = frozen_steps(**changes)
    assert terms <= expected.keys()
    found = found_by(folder, name)
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, expected[key].detach(), rtol=1e-4, atol=1e-5)


def test_the_mean_of_the_weights_is_that_of_the_steps_in_every_process(folder: Path) -> None:
    found = found_by(folder, "ours")
    averaged = [name for name in found if name.startswith("average.")]
    assert len(averaged) > 50
    assert any(not torch.equal(found[name], found[name.removeprefix("average.")]) for name in averaged)


def test_processes_know_their_place_and_agree(folder: Path) -> None:
    for rank in range(NUM_PROCESSES):
        found = found_by(folder, "agreement", rank)
        assert found["rank"].tolist() == [rank, 2, rank]
        assert found["share"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]][rank]
        assert found["gathered"].tolist() == [0, 1, 10, 11]
        assert found["any"].tolist() == [False, True, True, True]


def test_all_processes_get_the_firsts_parameters_and_buffers(folder: Path) -> None:
    names = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    for rank in range(NUM_PROCESSES):
        found = {n: t for n, t in found_by(folder, "agreement", rank).items() if n.startswith("copied.")}
        assert {name.removeprefix("copied.") for name in found} == names
        assert all((tensor == 5).all() for tensor in found.values())


def test_one_process_is_a_group_of_its_own() -> None:
    distributed.join(torch.device("cpu"))
    assert (distributed.rank(), distributed.world_size(), distributed.local_rank()) == (0, 1, 0)
    assert distributed.share(8) == slice(0, 8)
    tensor, module = torch.ones(3), torch.nn.Linear(1, 1)
    assert distributed.gather(tensor) is tensor
    assert distributed.parallel(module) is module
    weight = module.weight.detach().clone()
    distributed.copy_from_first(module)
    assert torch.equal(module.weight, weight)
    assert [distributed.any_process(asked) for asked in (False, True)] == [False, True]
    distributed.leave()


OURS: tuple[object, ...] = (
    "--architecture", "sanet", "--aligned", "input", "--transform", "rotation", "--num-parts", 1, "--neck",
    "batchnorm", "--average-steps", 3, "--id-scale", 16, "--contrastive-weight", 1, "--heading-steps", 2,
)  # fmt: skip


@pytest.mark.parametrize("changes", [(), OURS], ids=["baseline", "ours"])
def test_torchrun_trains(changes: tuple[object, ...], tmp_path: Path) -> None:
    data = write_vehicles(tmp_path / "data", 8, 3)
    changes = ("--epochs", 2, "--max-steps-per-epoch", 2, "--json", *changes)
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", NUM_PROCESSES, "--master-port", free_port())
    command = (*torchrun, "-m", "training.train", "--data", data, "--out", tmp_path / "run", *SMALL, *changes)
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    # Only the first process says what came of it.
    printed = json.loads(result.stdout)
    assert printed["checkpoint"] == str(tmp_path / "run" / "best.safetensors")
    assert printed["best"] is not None
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").card.trained
    assert load_checkpoint(tmp_path / "run" / "last.safetensors").card.training["num_steps"] == 4
    assert [line["step"] for line in log_of(tmp_path / "run", "step")] == [1, 2, 3, 4]
    assert [line["epoch"] for line in log_of(tmp_path / "run", "validation")] == [0, 1]
    assert [line["epoch"] for line in log_of(tmp_path / "run", "epoch")] == [0, 1]
    assert '"num_processes": 2' in (tmp_path / "run" / "run.json").read_text()
    assert not list((tmp_path / "run").glob("*.tmp"))
