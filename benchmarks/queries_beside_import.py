"""How long a query takes while an import runs, beside how long it takes when none does.

    python -m benchmarks.queries_beside_import [--checkpoint FILE] [--rounds 5] [--seconds 15] [--quick] [--json]

A service of its own on this machine, over its real sockets. One client sends queries, each as soon as the last one is
answered. Rounds without and with an import take turns, on the same service; in those with one, an import of made-up
drone frames (1920 x 1080 JPEG, 16 vehicles each) runs from before the first query until after the last one. Figures are
medians of the rounds. ``import_rows_per_s_alone`` is how fast the import is where nobody asks.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.live_service import LiveService
from benchmarks.made_up_pictures import jpeg, made_up_picture
from index.command_parser import CommandParser
from model.cores import usable_cores
from model.given_path import given_path
from service.settings import shipped_checkpoint
from training.arguments import at_least_one

_WIDTH: Final = 1920
_HEIGHT: Final = 1080
_BOX: Final = (160, 100)
_BOXES_PER_FRAME: Final = 16
_NUM_QUERIES: Final = 16
_WARM_UP: Final = 30

_Result = TypeVar("_Result")


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.queries_beside_import", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, default=shipped_checkpoint(), help="default: the shipped one")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="of each kind")
    parser.add_argument("--seconds", type=at_least_one, default=15, help="of each round")
    parser.add_argument("--frames", type=at_least_one, default=400, help="of each import, which has to outlast a round")
    parser.add_argument("--quick", action="store_true", help="one round of 3 s of each kind, with 60 frames")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.frames = 1, 3, 60
    result = measure(args.checkpoint, args.rounds, args.seconds, args.frames)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 0


def measure(checkpoint: Path, num_rounds: int, seconds: float, num_frames: int) -> dict[str, Any]:
    """The rounds, and what they come to.

    Raises:
        RuntimeError: the service fails, or an import was at its end before its round was: take more frames.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "frames")
        _write_frames(root, num_frames)
        rows: list[dict[str, Any]] = []
        with LiveService(checkpoint, Path(temporary, "data"), import_root=str(root)) as service:
            _, rate_alone = _beside_import(service, root, 0, num_frames, lambda: time.sleep(seconds))
            _ask(service, float("inf"), _WARM_UP)
            for round_ in tqdm(range(1, num_rounds + 1), "rounds", disable=None):
                alone = _ask(service, seconds)
                beside, rate = _beside_import(service, root, round_, num_frames, lambda: _ask(service, seconds))
                rows.append({"alone": _figures(alone), "beside": _figures(beside), "import_rows_per_s": rate})
    headline = {
        f"{name}_ms_{kind}": statistics.median(row[kind][name] for row in rows)
        for kind in ("alone", "beside")
        for name in ("p50", "p95")
    }
    headline["p95_ratio"] = headline["p95_ms_beside"] / headline["p95_ms_alone"]
    headline["import_rows_per_s"] = statistics.median(row["import_rows_per_s"] for row in rows)
    headline["import_rows_per_s_alone"] = rate_alone
    machine = {
        "processor": platform.machine(),
        "num_cores": usable_cores(),
        "torch": torch.__version__,
        "checkpoint": checkpoint.name,
    }
    return {"headline": headline, "rows": rows, "machine": machine}


def _beside_import(
    service: LiveService, root: Path, round_: int, num_frames: int, work: Callable[[], _Result]
) -> tuple[_Result, float]:
    """What `work` returns while an import of new vehicles runs, and the import's rows per second meanwhile."""
    manifest = root / f"round-{round_}.csv"
    with manifest.open("w") as file:
        file.write("path,box\n")
        for frame in range(num_frames):
            for x, y in _corners(round_):
                file.write(f'{frame}.jpg,"{x},{y},{_BOX[0]},{_BOX[1]}"\n')
    url = service.client.post("/jobs", json={"kind": "import", "path": manifest.name}).json()["url"]
    while (job := service.client.get(url).json())["done"] == 0:
        if job["state"] not in ("queued", "running"):
            raise RuntimeError(f"the import is {job['state']}: {job['error']}")
        time.sleep(0.02)
    start, num_before = time.perf_counter(), job["done"]
    result = work()
    job = service.client.get(url).json()
    rows_per_s = (job["done"] - num_before) / (time.perf_counter() - start)
    if job["state"] != "running":
        raise RuntimeError(f"the import is {job['state']} at the end of its round ({job['error']}): take more --frames")
    service.client.delete(url)
    while service.client.get(url).json()["state"] == "running":
        time.sleep(0.02)
    return result, rows_per_s


def _corners(round_: int) -> list[tuple[int, int]]:
    """The upper left corners of a frame's boxes, others in every round."""
    rng = np.random.default_rng(round_)
    xs, ys = rng.integers(0, (_WIDTH - _BOX[0], _HEIGHT - _BOX[1]), (_BOXES_PER_FRAME, 2)).T
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _ask(service: LiveService, seconds: float, most: float = float("inf")) -> list[float]:
    """The milliseconds of each query of one client that asks for so long, or so many times at most."""
    images = [jpeg(made_up_picture(1000 + number, 160, 100)) for number in range(_NUM_QUERIES)]
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and len(times) < most:
        image = images[len(times) % len(images)]
        start = time.perf_counter()
        response = service.client.post("/query", files={"image": ("query.jpg", image, "image/jpeg")})
        times.append(1000 * (time.perf_counter() - start))
        if response.status_code != 200:
            raise RuntimeError(f"a query was answered {response.status_code}: {response.text}")
    return times


def _figures(times: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(times, (50, 95, 99)).tolist()
    return {"queries": len(times), "p50": p50, "p95": p95, "p99": p99, "max": max(times)}


def _write_frames(root: Path, num_frames: int) -> None:
    root.mkdir()
    for number in tqdm(range(num_frames), "frames", disable=None):
        (root / f"{number}.jpg").write_bytes(jpeg(made_up_picture(number, _WIDTH, _HEIGHT)))


def _text(result: dict[str, Any]) -> str:
    headline = result["headline"]
    lines = [
        f"p95 of a query: {headline['p95_ms_alone']:.1f} ms alone, {headline['p95_ms_beside']:.1f} ms beside an import "
        f"({headline['p95_ratio']:.2f} times)",
        f"p50 of a query: {headline['p50_ms_alone']:.1f} ms alone, {headline['p50_ms_beside']:.1f} ms beside an import",
        f"the import: {headline['import_rows_per_s_alone']:.0f} rows/s alone, "
        f"{headline['import_rows_per_s']:.0f} beside the queries",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
