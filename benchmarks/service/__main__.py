"""What the service costs beside the network: overhead of a query, enrolment, overload, start and memory.

    python -m benchmarks.service [--checkpoint FILE] [--seconds 15] [--rounds 3] [--soak-requests N] [--quick] [--json]

The real service as a process of its own, and real clients over HTTP on the loopback, in another; 256 x 256 JPEG crops.

- Queries at concurrency 1, 8 and 64: the client's clock, and the overhead, which is that less the answer's `embed` and
  `search`. Its floor is a request that does nothing, and the decoding of a crop by itself.
- Enrolment beside the bare embedder, which runs in a process of its own on the same pictures, decoded beforehand, while
  the service's process is stopped. Rounds take turns; medians.
- Overload: three times as many pictures come one by one as the service enrols at most in that way, whether or not it
  answers. How much of that most is kept, and how many are refused with 429.
- Start: from the start of the process to the first yes of ``/readyz``, with an empty data folder and an empty cache of
  compiled kernels, and again with both; beside a process that imports torch alone.
- Memory: of a service with a small backbone, over `--soak-requests` queries, duplicates and listings; how much more it
  is in the last quarter of them than in the second.
"""

import json
import platform
import statistics
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.live_service import LiveService
from benchmarks.service.floors import import_torch_s
from benchmarks.service.measurement import QUEUE, Measurement
from index.command_parser import CommandParser
from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import SANetConfig
from model.cores import usable_cores
from model.embedder import pick_device
from model.given_path import given_path
from model.precision import Precision
from model.preprocessing import Preprocessing
from service.settings import shipped_checkpoint
from training.arguments import at_least_one
from training.environment import environment

_CLIENTS = (1, 8, 64)


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, default=shipped_checkpoint(), help="default: the shipped one")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--seconds", type=at_least_one, default=15, help="of each part of a round")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="of enrolment and of overload")
    parser.add_argument("--starts", type=at_least_one, default=3, help="with a filled cache")
    parser.add_argument("--soak-requests", type=at_least_one, default=2000, help="of the small backbone's service")
    parser.add_argument("--quick", action="store_true", help="one round, of parts of 2 s; 200 requests")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.rounds, args.starts, args.soak_requests = 2, 1, 1, 200
    result = measure(args.checkpoint, args.precision, args.seconds, args.rounds, args.starts, args.soak_requests)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 0


def measure(
    checkpoint: Path, precision: Precision, seconds: float, num_rounds: int, num_starts: int, num_soak_requests: int
) -> dict[str, Any]:
    """All of it: figures, the rows they come from, and the machine."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with _empty_cache(root / "cache"):
            settings = {"precision": precision, "log_level": "warning", "queue_capacity": str(QUEUE)}
            service = LiveService(checkpoint, root / "data", **settings)
            with service:
                starts = [_start("cold", service)]
                for _ in range(num_starts):
                    service.stop()
                    service.start()
                    starts.append(_start("cached", service))
                starts.append({"what": "start", "kind": "import torch", "seconds": import_torch_s(num_starts)})
                with Measurement(service, checkpoint, precision) as measurement:
                    queries = measurement.queries(_CLIENTS, seconds)
                    enrolment = measurement.enrolment(num_rounds, seconds)
                    overload = measurement.overload(num_rounds, seconds)
        memory = _memory(root, num_soak_requests)
    one = queries[0]
    headline = {
        "query_overhead_p50_ms": one["overhead_p50_ms"],
        "query_overhead_floor_ms": one["overhead_floor_ms"],
        **{f"query_p50_ms_of_{row['clients']}": row["total_p50_ms"] for row in queries},
        "enrol_share": statistics.median(row["share"] for row in enrolment),
        "enrol_images_per_s": statistics.median(row["images_per_s"] for row in enrolment),
        "overload_share": statistics.median(row["share"] for row in overload),
        "overload_refused_share": statistics.median(row["refused_share"] for row in overload),
        "ready_cold_s": starts[0]["seconds"],
        "ready_cached_s": statistics.median(row["seconds"] for row in starts if row["kind"] == "cached"),
        "import_torch_s": starts[-1]["seconds"],
        "memory_growth": memory["growth"],
    }
    device = pick_device("auto")
    machine = {
        "processor": platform.machine(),
        "num_cores": usable_cores(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "torch": torch.__version__,
        "checkpoint": checkpoint.name,
        "precision": precision,
    }
    return {"headline": headline, "rows": [*queries, *enrolment, *overload, *starts, memory], "machine": machine}


def _start(kind: str, service: LiveService) -> dict[str, Any]:
    return {"what": "start", "kind": kind, "seconds": service.ready_s}


def _memory(root: Path, num_requests: int) -> dict[str, Any]:
    """Of a service whose network is small: its memory is what requests leave behind."""
    checkpoint = root / "small.safetensors"
    network = build_network(SANetConfig("resnet18")).eval()
    save_checkpoint(checkpoint, network, Preprocessing(size_px=64), {"trained": False, "data": None})
    with (
        LiveService(checkpoint, root / "small", device="cpu", log_level="warning") as service,
        Measurement(service, checkpoint, "float32") as measurement,
    ):
        return measurement.memory(num_requests)


def _empty_cache(folder: Path) -> AbstractContextManager[None]:
    """What is converted or compiled within the block is kept there, and was not made before."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME", "CUDA_CACHE_PATH")
    return environment({name: str(folder / name.lower()) for name in names})


def _text(result: dict[str, Any]) -> str:
    headline = result["headline"]
    lines = [_query_text(row) for row in result["rows"] if row["what"] == "queries"]
    lines += [
        f"the floor of one query's overhead: {headline['query_overhead_floor_ms']:.1f} ms",
        f"enrolment: {headline['enrol_images_per_s']:.1f} images/s, {headline['enrol_share']:.1%} of the bare embedder",
        f"three times too much: {headline['overload_share']:.1%} of the most is kept, "
        f"{headline['overload_refused_share']:.1%} refused with 429",
        f"from its start to ready: {headline['ready_cold_s']:.1f} s cold, {headline['ready_cached_s']:.1f} s cached; "
        f"importing torch alone takes {headline['import_torch_s']:.1f} s",
        f"memory grows by {headline['memory_growth']:.2%}",
    ]
    return "\n".join(lines) + "\n"


def _query_text(row: dict[str, Any]) -> str:
    return (
        f"{row['clients']:>3} clients: a query takes {row['total_p50_ms']:.1f} ms (p95 {row['total_p95_ms']:.1f}, p99 "
        f"{row['total_p99_ms']:.1f}), {row['overhead_p50_ms']:.1f} of it overhead; {row['queries_per_s']:.1f} queries/s"
    )


if __name__ == "__main__":
    sys.exit(main())
