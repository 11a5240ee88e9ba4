"""How fast a training step is beside the machine's fastest matrix product, and whether the loader keeps up.

    python -m benchmarks.training [--recipe sanet_paper --recipe sanet ..] [--data DIR_OR_MANIFEST] [--precision bf16]
        [--batch 512] [--quick] [--json]

The arithmetic's floor is a step's floating point operations (counted by torch, forward and backward) at the rate of a
large matrix product of the same precision, measured in the same process, between the steps; `peak_share` is that floor
beside the step. What is no product (BatchNorm, ReLU, sums, Adam) waits for the memory: its floor is the bytes it reads
and writes at the rate of a large copy; `floor_share` is both floors together beside the step. The step is all that
takes time on the device: augmentation, forward, loss, backward, Adam; nothing is frozen.

`loader_ratio` is what the loader alone delivers, reading, decoding and resizing every image anew, beside what SANet's
step consumes. Without --data the images are written beforehand: JPEG crops of 40 to 120 pixels.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.memory_traffic import MemoryTraffic, copy
from index.command_parser import CommandParser
from model.cores import usable_cores
from model.embedder import pick_device
from model.given_path import given_path
from model.image import encode_image
from training.arguments import at_least_one
from training.crops import Crops
from training.data import training_data
from training.datasets.opening import open_data
from training.learner import build_learner
from training.memory import reuse_memory
from training.recipe import RECIPES, Recipe, TrainingPrecision
from training.step import Batch, Stepper

_NUM_LABELS = 1797  # UAV-VeID's training identities
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def measure_step(recipe: Recipe, device: torch.device, num_rounds: int, bar: "tqdm[Any]") -> dict[str, Any]:
    """One recipe's step against the matrix product; medians over the rounds."""
    learner = build_learner(recipe, _NUM_LABELS, 0, device)
    stepper = Stepper(learner, frozen=False)
    num_images = recipe.num_identities * recipe.num_images
    rng = np.random.default_rng(0)
    shape = (num_images, recipe.size_px, recipe.size_px, 3)
    images = torch.from_numpy(rng.integers(0, 256, shape, np.uint8)).permute(0, 3, 1, 2)
    labels = torch.arange(recipe.num_identities).repeat_interleave(recipe.num_images)
    headings_rad = torch.zeros(num_images, device=device) if recipe.aligned == "input" else None
    batch = Batch(images.to(device), labels.to(device), headings_rad)

    def step() -> None:
        stepper.step(batch, recipe.learning_rate, 0.0, rng)

    # The first steps are taken kernel by kernel, on a GPU too: their kernels can be counted.
    with FlopCounterMode(display=False) as counter:
        step()
    with MemoryTraffic() as traffic:
        step()
    flop = counter.get_total_flops()
    multiply, flop_of_product = matrix_product(_DTYPES[recipe.precision], device)
    move, bytes_of_copy = copy(device)
    rounds = []
    for _ in range(num_rounds + 1):
        # Neighbours in time: on a busy machine all are slow together.
        rounds.append([seconds(work, device) for work in (multiply, move, step, move, multiply)])
        bar.update()
    # The first round warms up.
    products, copies, steps, copies_after, products_after = zip(*rounds[1:], strict=True)
    peak = [flop_of_product / min(pair) for pair in zip(products, products_after, strict=True)]
    bandwidth = [bytes_of_copy / min(pair) for pair in zip(copies, copies_after, strict=True)]
    floors = [flop / p + traffic.num_bytes / b for p, b in zip(peak, bandwidth, strict=True)]
    return {
        "network": recipe.architecture,
        "backbone": recipe.backbone,
        "size_px": recipe.size_px,
        "batch": num_images,
        "precision": recipe.precision,
        "images_per_s": num_images / statistics.median(steps),
        "gflop_per_image": flop / num_images / 1e9,
        "peak_gflop_per_s": statistics.median(peak) / 1e9,
        "peak_share": statistics.median(flop / p / s for p, s in zip(peak, steps, strict=True)),
        "gb_per_image": traffic.num_bytes / num_images / 1e9,
        "copy_gb_per_s": statistics.median(bandwidth) / 1e9,
        "floor_share": statistics.median(floor / s for floor, s in zip(floors, steps, strict=True)),
    }


def matrix_product(dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], object], int]:
    """A product large enough to run at the machine's rate, and its operations."""
    side = 16384 if device.type == "cuda" else 4096
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2 * side**3


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long it takes until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure_loader(data: Path, recipe: Recipe, num_batches: int) -> dict[str, Any]:
    """Images per second of the loader alone: each read anew, and kept in memory."""
    manifest = open_data(data)
    entries = training_data(manifest, "none").entries
    size = recipe.num_identities * recipe.num_images
    order = np.random.default_rng(0).permutation(np.resize(np.arange(len(entries)), size * num_batches))
    batches = order.reshape(num_batches, size)
    row: dict[str, Any] = {"loader": manifest.protocol.dataset, "num_images": len(entries), "size_px": recipe.size_px}
    for name, memory_gb in (("cold", 0.0), ("cached", 64.0)):
        crops = Crops(manifest, entries, recipe.preprocessing(), torch.device("cpu"), memory_gb)
        if memory_gb:
            crops.load()
        start = time.perf_counter()
        for _ in crops.batches(batches):
            pass
        row[f"{name}_images_per_s"] = order.size / (time.perf_counter() - start)
    return row


def write_crops(folder: Path, num_identities: int = 64, num_images: int = 8) -> None:
    """A folder per identity, of JPEG crops as small as a drone sees vehicles."""
    rng = np.random.default_rng(0)
    for identity in range(num_identities):
        (folder / f"{identity:04}").mkdir(parents=True)
        for number in range(num_images):
            width, height = rng.integers(40, 121, 2)
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            (folder / f"{identity:04}" / f"{number}.jpg").write_bytes(encode_image(pixels, "JPEG"))


def _recipes(args: argparse.Namespace) -> list[Recipe]:
    """What is timed, from scratch, at the batch asked for."""
    recipes = []
    for name in args.recipe or ("sanet_paper", "baseline_paper"):
        recipe = dataclasses.replace(RECIPES[name](), trunk_weights="none", precision=args.precision)
        num_identities = args.batch // recipe.num_images if args.batch else recipe.num_identities
        recipes.append(dataclasses.replace(recipe, num_identities=num_identities))
    return recipes


def measure(args: argparse.Namespace, device: torch.device, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """Both networks and the loader; JSON values."""
    reuse_memory()
    num_rounds, num_batches = (2, 4) if args.quick else (args.rounds, 32)
    with tqdm(total=len(recipes) * (num_rounds + 1), unit="round", disable=None) as bar:
        rows = [measure_step(recipe, device, num_rounds, bar) for recipe in recipes]
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or Path(folder) / "random-crops"
        if args.data is None:
            write_crops(data)
        loader = measure_loader(data, recipes[0], num_batches)
    first = rows[0]
    headline = {
        "images_per_s": first["images_per_s"],
        "peak_share": first["peak_share"],
        "loader_ratio": loader["cold_images_per_s"] / first["images_per_s"],
    }
    machine = {
        "processor": platform.machine(),
        "num_cores": usable_cores(),
        "num_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }
    return {"headline": headline, "rows": [*rows, loader], "machine": machine}


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument(
        "--data", type=given_path, help="whose images the loader reads; a manifest or a folder per identity"
    )
    parser.add_argument(
        "--recipe", action="append", choices=sorted(RECIPES), help="what to time; repeatable (default the paper's two)"
    )
    parser.add_argument("--precision", choices=get_args(TrainingPrecision), default="bf16")
    parser.add_argument("--batch", type=at_least_one, help="images in a batch (default the recipe's)")
    parser.add_argument("--rounds", type=at_least_one, default=10, help="steps that are timed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args = parser.parse_args()
    try:
        device = torch.device(pick_device(args.device))
        recipes = _recipes(args)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(measure(args, device, recipes), indent=None if args.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
