"""Real drone frames through a running service: does every vehicle find itself, and how often another view of itself?

    python -m benchmarks.uav_frames --frames DIR [--trunk-weights FILE --stride 1x1 --bn-eps 1.001e-5] [--json]

`--frames` is a folder of images with a ``manifest.csv`` (path, identity, role, box, stationary). Every labelled box is
enrolled twice, in two galleries: as whole frames with ``boxes``, and as crops. Between enrolling and querying the
service is killed and started again. Then every crop is queried: it has to be its own rank 1, at a distance that is
nothing beside rank 2's. From the same answers CMC-1 between views: queries against the gallery views only.
"""

import base64
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.live_service import LiveService
from index.command_parser import CommandParser
from index.datasets.manifest import Entry, read_manifest
from model.box import Box
from model.config import Backbone, SANetConfig, Stride
from model.given_path import given_path
from model.image import decode_image, encode_image, read_image
from model.number import decimal_number, whole_number
from model.precision import PRECISIONS, Precision
from training.initialize import initialize

_MAX_FILES = 16
_TOP_K = 1000


@dataclass(frozen=True, eq=False)
class Vehicle:
    """A labelled box of the manifest, and its crop (h, w, 3)."""

    path: Path
    identity: str
    role: str
    stationary: bool
    box: Box
    crop: NDArray[np.uint8]


def read_vehicles(frames: Path, limit: int | None = None) -> list[Vehicle]:
    """The labelled boxes of ``manifest.csv``, frame by frame; at most `limit`."""
    manifest = read_manifest(frames)
    by_frame: dict[str, list[Entry]] = defaultdict(list)
    for entry in islice((entry for entry in manifest.entries if entry.identity), limit):
        by_frame[entry.path].append(entry)
    vehicles = []
    for path, entries in by_frame.items():
        pixels = read_image(frames / path)
        height, width, _ = pixels.shape
        for entry in entries:
            box = (entry.box or Box(0, 0, width, height)).clip(width, height)
            stationary = entry.further["stationary"] == "1"
            vehicles.append(
                Vehicle(frames / path, entry.identity, entry.role or "", stationary, box, box.cut(pixels).copy())
            )
    return vehicles


def enrol_frames(service: LiveService, vehicles: Sequence[Vehicle]) -> list[str]:
    """Enrols whole frames with boxes; the ids, vehicle by vehicle: `vehicles` must come frame by frame."""
    by_frame: dict[Path, list[Vehicle]] = defaultdict(list)
    for vehicle in vehicles:
        by_frame[vehicle.path].append(vehicle)
    files = [(path.name, path.read_bytes()) for path in by_frame]
    metadata = [
        {"camera": path.stem, "boxes": [{"box": str(v.box), "identity": v.identity} for v in of_frame]}
        for path, of_frame in by_frame.items()
    ]
    return _enrol(service, files, metadata, "frames enrolled")


def enrol_crops(service: LiveService, vehicles: Sequence[Vehicle]) -> list[str]:
    """Enrols every crop as a file of its own; the ids, vehicle by vehicle."""
    files = [(f"{i}.png", encode_image(vehicle.crop, "PNG")) for i, vehicle in enumerate(vehicles)]
    return _enrol(service, files, [{"identity": vehicle.identity} for vehicle in vehicles], "crops enrolled")


def query_all(service: LiveService, vehicles: Sequence[Vehicle]) -> list[dict[str, Any]]:
    """The answer to each vehicle's crop, with all of the gallery ranked."""
    answers = []
    for vehicle in tqdm(vehicles, "queried"):
        files = {"image": ("crop.png", encode_image(vehicle.crop, "PNG"))}
        response = service.client.post("/query", files=files, data={"top_k": _TOP_K})
        if response.status_code != 200:
            raise RuntimeError(f"the query of {vehicle.path.name} {vehicle.box} failed: {response.text}")
        answers.append(response.json())
    return answers


def self_retrieval(ids: Sequence[str], answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How each vehicle finds itself: its rank and its distance, beside the distance of rank 2."""
    own_rank1 = sum(answer["matches"][0]["id"] == id_ for id_, answer in zip(ids, answers, strict=True))
    rank2 = statistics.median(answer["matches"][1]["distance"] for answer in answers)
    own = max(answer["matches"][0]["distance"] for answer in answers)
    decodable = sum(_has_view(answer) for answer in answers)
    return {
        "num_queries": len(answers),
        "own_rank1": own_rank1,
        "with_aligned_view_and_theta": decodable,
        "max_own_distance": own,
        "median_rank2_distance": rank2,
        "own_to_rank2": own / rank2,
    }


def cmc1(
    vehicles: Sequence[Vehicle], ids: Mapping[Vehicle, str], answers: Mapping[Vehicle, dict[str, Any]]
) -> dict[str, Any]:
    """CMC-1 of the query views against the gallery views, as the service ranked them; None without queries."""
    gallery = {ids[vehicle] for vehicle in vehicles if vehicle.role == "gallery"}
    queries = [vehicle for vehicle in vehicles if vehicle.role == "query"]
    hits = sum(
        next(match["identity"] for match in answers[vehicle]["matches"] if match["id"] in gallery) == vehicle.identity
        for vehicle in queries
    )
    return {"cmc1": hits / len(queries) if queries else None, "num_queries": len(queries), "num_gallery": len(gallery)}


def _enrol(
    service: LiveService, files: list[tuple[str, bytes]], metadata: list[dict[str, Any]], what: str
) -> list[str]:
    ids: list[str] = []
    for start in tqdm(range(0, len(files), _MAX_FILES), what):
        response = service.client.post(
            "/gallery",
            files=[("images", file) for file in files[start : start + _MAX_FILES]],
            data={"metadata": json.dumps(metadata[start : start + _MAX_FILES])},
        )
        results = response.json()["results"]
        if any(result["status"] != "enrolled" for result in results):
            raise RuntimeError(f"not everything was enrolled: {results}")
        ids.extend(result["id"] for result in results)
    return ids


def _has_view(answer: dict[str, Any]) -> bool:
    query = answer["query"]
    view = decode_image(base64.b64decode(query["aligned_view"].removeprefix("data:image/jpeg;base64,")))
    theta = np.array(query["theta"], np.float64)
    return view.pixels.shape == (256, 256, 3) and theta.shape == (2, 3) and bool(np.isfinite(theta).all())


def measure(checkpoint: Path, vehicles: Sequence[Vehicle], folder: Path, precision: Precision) -> dict[str, Any]:
    """Both galleries, one after the other; JSON values."""
    rows: list[dict[str, Any]] = []
    for name, enrol in (("frames with boxes", enrol_frames), ("crops", enrol_crops)):
        with LiveService(checkpoint, folder / name.replace(" ", "-"), precision=precision) as service:
            start = time.perf_counter()
            ids = enrol(service, vehicles)
            enrol_s = time.perf_counter() - start
            service.kill()
            service.start()
            answers = query_all(service, vehicles)
            row: dict[str, Any] = {"gallery": name, "enrolled_per_s": len(ids) / enrol_s, "ready_s": service.ready_s}
        id_of = dict(zip(vehicles, ids, strict=True))
        answer_of = dict(zip(vehicles, answers, strict=True))
        row["cmc_all"] = cmc1(vehicles, id_of, answer_of)
        row["cmc_moving"] = cmc1([vehicle for vehicle in vehicles if not vehicle.stationary], id_of, answer_of)
        rows.append(row | self_retrieval(ids, answers))
    first = rows[0]
    headline = {
        "own_rank1": sum(row["own_rank1"] for row in rows) / sum(row["num_queries"] for row in rows),
        "own_to_rank2": max(row["own_to_rank2"] for row in rows),
        "cmc1_moving": first["cmc_moving"]["cmc1"],
        "cmc1_all": first["cmc_all"]["cmc1"],
    }
    machine = {"processor": platform.machine(), "num_threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"headline": headline, "rows": rows, "machine": machine}


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.uav_frames", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=given_path, required=True, help="the folder with manifest.csv")
    parser.add_argument("--backbone", choices=get_args(Backbone), default="resnet50")
    parser.add_argument("--trunk-weights", help="a .pth/.safetensors file, or torchvision's name; default: none")
    parser.add_argument("--stride", choices=get_args(Stride), default="3x3", help='"1x1" for ResNet-v1 weights')
    parser.add_argument("--bn-eps", type=decimal_number, default=0.0, help="of the weights; 0 is the backbone's own")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--limit", type=whole_number, help="only the first labelled boxes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    vehicles = read_vehicles(args.frames, args.limit)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "untrained.safetensors"
        config = SANetConfig(args.backbone, args.stride, args.bn_eps)
        initialize(checkpoint, config, trunk_weights=args.trunk_weights)
        result = measure(checkpoint, vehicles, Path(folder), args.precision)
    print(json.dumps(result, indent=None if args.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
