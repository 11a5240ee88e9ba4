"""How fast networks embed beside the machine's fastest matrix product, and beside the ways in which others run them.

    python -m benchmarks.embed [--checkpoint FILE] [--batch 16] [--rounds 5] [--device auto] [--quick] [--json]

Two networks: the paper's (ResNet-50, 256 pixels, weights drawn at random) and a checkpoint, the shipped one if none is
named. Images are uint8 in memory, embeddings float32 in memory; on a GPU the copies there and back count.

The floor is a network's floating point operations (counted by torch) at the rate of the machine's fastest matrix
product of the engine's precision, measured in the same process, between the batches; `peak_share` is that floor beside
the batch. The fastest product is that of BLAS or that of a 1x1 convolution, whichever is faster. Engines run in turns;
medians over the rounds. `relative_error` is the largest distance to the eager float32 embedding, in its lengths.
"""

import argparse
import gc
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.embedding_engines import Engine, Images, engines
from benchmarks.training import matrix_product, seconds
from index.command_parser import CommandParser
from model.build import build_network
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from model.config import SANetConfig
from model.cores import usable_cores
from model.embedder import compute_in_float32, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.precision import DTYPES, Precision
from model.preprocessing import Preprocessing
from training.arguments import at_least_one

_SHIPPED: Final = Path(__file__).resolve().parents[1] / "demo" / "sanet.safetensors"


def measure_network(
    name: str, checkpoint: Checkpoint, args: argparse.Namespace, bar: "tqdm[Any]"
) -> list[dict[str, Any]]:
    """Every engine on one network; one row each, also of those that are not there (`not_run` says why)."""
    device = torch.device(args.device)
    size = checkpoint.card.preprocessing.size_px
    images = np.random.default_rng(0).integers(0, 256, (args.batch, size, size, 3), np.uint8)
    flop, expected = _reference(checkpoint, images, device)
    rows, ready, missing = [], [], {}
    for engine_name, make in engines(checkpoint, device, torch.get_num_threads()):
        try:
            ready.append(make())
            ready[-1].embed(images[:1] if ready[-1].one_by_one else images)
        except Exception as failure:  # what others' engines raise is theirs to choose
            missing[engine_name] = f"{type(failure).__name__}: {str(failure).strip().splitlines()[0][:200]}"
        bar.update()
    took: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in ready}
    peaks = {precision: fastest_product(precision, device) for precision in {engine.precision for engine in ready}}
    for _ in range(args.rounds):
        for engine in ready:
            product, flop_of_product = peaks[engine.precision]
            # Neighbours in time: on a busy machine both are slow together.
            before = seconds(product, device)
            batch_s = seconds(partial(_embed, engine, images), device)
            peak = flop_of_product / min(before, seconds(product, device))
            took[engine.name].append((batch_s, flop / peak / batch_s))
        bar.update()
    for engine in ready:
        batch_s = statistics.median(seconds_ for seconds_, _ in took[engine.name])
        error = np.linalg.norm(_embed(engine, images) - expected, axis=1) / np.linalg.norm(expected, axis=1)
        rows.append(
            {
                "network": name,
                "engine": engine.name,
                "precision": engine.precision,
                "batch": 1 if engine.one_by_one else args.batch,
                "images_per_s": args.batch / batch_s,
                "gflop_per_s": flop / batch_s / 1e9,
                "peak_share": statistics.median(share for _, share in took[engine.name]),
                "relative_error": float(error.max()),
            }
        )
    rows += [{"network": name, "engine": engine_name, "not_run": why} for engine_name, why in missing.items()]
    return rows


def _reference(checkpoint: Checkpoint, images: Images, device: torch.device) -> tuple[int, np.ndarray[Any, Any]]:
    """Floating point operations of the batch, and its embeddings in eager float32."""
    compute_in_float32()
    network = checkpoint.network.eval().to(device)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        embedding = network(batch).embedding.cpu().numpy()
    return counter.get_total_flops(), embedding


def _embed(engine: Engine, images: Images) -> np.ndarray[Any, Any]:
    if not engine.one_by_one:
        return engine.embed(images)
    return np.concatenate([engine.embed(images[i : i + 1]) for i in range(len(images))])


def fastest_product(precision: Precision, device: torch.device) -> tuple[Callable[[], object], int]:
    """A product that runs at the machine's rate, and its operations: of BLAS, or of a 1x1 convolution, which is one."""
    dtype = DTYPES[precision]
    candidates = [matrix_product(dtype, device), _convolution(dtype, device)]
    return max(candidates, key=lambda candidate: candidate[1] / _quickest(candidate[0], device))


def _quickest(work: Callable[[], object], device: torch.device) -> float:
    return min(seconds(work, device) for _ in range(3))


def _convolution(dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], object], int]:
    images = torch.randn(16, 1024, 32, 32, device=device).to(dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(1024, 1024, 1, 1, device=device).to(dtype)

    def convolve() -> object:
        with torch.inference_mode():
            return F.conv2d(images, weight)

    return convolve, 2 * 16 * 32 * 32 * 1024 * 1024


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both networks; JSON values."""
    device = torch.device(args.device)
    networks = {
        "SANet-R50 at 256 px": _paper_network(args.quick),
        "shipped" if args.checkpoint == _SHIPPED else args.checkpoint.stem: load_checkpoint(args.checkpoint),
    }
    rows: list[dict[str, Any]] = []
    with tqdm(unit="step", disable=None) as bar:
        for name, checkpoint in networks.items():
            rows += measure_network(name, checkpoint, args, bar)
            gc.collect()
    by = {(row["network"], row["engine"]): row for row in rows if "images_per_s" in row}
    first = next(iter(networks))
    ours, single = by.get((first, "ours")), by.get((first, "eager, one by one"))
    if ours is None or single is None:
        raise EmbeddingError(f"the network does not run on {args.device}: {rows[-1].get('not_run')}")
    return {
        "headline": {
            "images_per_s": ours["images_per_s"],
            "peak_share": ours["peak_share"],
            "speedup_vs_eager_single": ours["images_per_s"] / single["images_per_s"],
        },
        "rows": rows,
        "machine": {
            "processor": platform.machine(),
            "num_cores": usable_cores(),
            "num_threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
        },
    }


def _paper_network(quick: bool) -> Checkpoint:
    """SANet as the paper has it, from scratch; smaller where only the benchmark itself is tried."""
    torch.manual_seed(0)
    preprocessing = Preprocessing(size_px=64) if quick else Preprocessing()
    network = build_network(SANetConfig("resnet18" if quick else "resnet50"), preprocessing).eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.safetensors"
        save_checkpoint(file, network, preprocessing, {"trained": False, "data": None})
        return load_checkpoint(file)


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.embed", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, default=_SHIPPED, help="default: the shipped one")
    parser.add_argument("--batch", type=at_least_one, default=16, help="images in a batch (default 16)")
    parser.add_argument(
        "--rounds", type=at_least_one, default=7, help="batches of each engine that are timed (default 7)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quick", action="store_true", help="under a minute: a small network instead of the paper's")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args = parser.parse_args()
    if args.quick:
        args.batch, args.rounds = min(args.batch, 4), 2
    try:
        args.device = pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    try:
        result = measure(args)
    except (CheckpointError, EmbeddingError, OSError) as error:
        print(f"benchmarks.embed: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result))
        return 0
    for row in result["rows"]:
        figures = row.get("not_run") or (
            f"{row['images_per_s']:8.1f} images/s  {row['gflop_per_s']:8.1f} GFLOP/s  "
            f"{row['peak_share']:.2f} of the peak  error {row['relative_error']:.0e}"
        )
        print(f"{row['network']:20} {row['engine']:18} {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
