"""Small data, small recipes and small runs, for the trainer's tests."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor

from model.image import encode_image
from tests.conftest import picture
from training import evaluate as evaluate_command
from training import train as train_command
from training.data import training_data
from training.datasets.opening import open_data
from training.recipe import Recipe, debug
from training.run import Habits, Run
from training.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]

# Flags of `training.train`: three steps of 8 images an epoch, each a twentieth of a second.
SMALL: tuple[object, ...] = (
    "--recipe", "debug", "--architecture", "baseline", "--size-px", 32, "--num-identities", 4, "--num-images", 2,
    "--max-steps-per-epoch", 3, "--epochs", 2, "--validation", "train", "--validate-every", 1, "--device", "cpu",
    "--log-every", 1, "--quiet",
)  # fmt: skip


def write_vehicles(folder: Path, num_identities: int = 8, num_views: int = 4) -> Path:
    """A folder per identity: views of one big picture each, shifted and with a lot of noise."""
    for identity in range(num_identities):
        whole = picture(1000 + identity, 60, 60)
        (folder / f"vehicle{identity}").mkdir(parents=True)
        rng = np.random.default_rng(identity)
        for view in range(num_views):
            x, y = rng.integers(0, 60 - 40, 2)
            noisy = whole[y : y + 40, x : x + 40] + rng.normal(0, 60, (40, 40, 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            (folder / f"vehicle{identity}" / f"{view}.png").write_bytes(encode_image(pixels, "PNG"))
    return folder


def small_recipe(**changes: Any) -> Recipe:
    """What `SMALL` trains."""
    small: dict[str, Any] = {
        "architecture": "baseline", "size_px": 32, "num_identities": 4, "num_images": 2, "max_steps_per_epoch": 3,
        "epochs": 2, "validation": "train", "validate_every": 1,
    }  # fmt: skip
    return dataclasses.replace(debug(), **{**small, **changes})


def small_run(data: Path, out: Path, recipe: Recipe, seed: int = 0, **habits: Any) -> Run:
    """A run on the CPU that logs every step."""
    return Run(
        recipe,
        training_data(open_data(data), recipe.validation),
        RunFolder(out),
        seed,
        torch.device("cpu"),
        {"data": "vehicles"},
        Habits(**{"log_every": 1, "show_progress": False, **habits}),
    )


def images_of(labels: Tensor, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """A batch as a step takes it (N, C, S, S) uint8, channels last: vehicles of one colour each, with noise."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (int(labels.max()) + 1, 1, 1, channels))[labels.numpy()]
    pixels = (colours + rng.integers(0, 56, (len(labels), side, side, channels))).astype(np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def train_main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """`python -m training.train`, in this process, whose memory stays as it is."""
    monkeypatch.setattr(train_command, "reuse_memory", lambda: None)
    monkeypatch.setattr(sys, "argv", ["training.train", *map(str, arguments)])
    return train_command.main()


def evaluate_main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """`python -m training.evaluate`, in this process."""
    monkeypatch.setattr(sys, "argv", ["training.evaluate", *map(str, arguments)])
    return evaluate_command.main()


def log_of(out: Path, event: str | None = None) -> list[dict[str, Any]]:
    """The lines of a run's log, or those of an event."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if event in (None, line["event"])]


def tensorboard_of(out: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: (step, value) by tag."""
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
