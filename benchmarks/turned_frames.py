"""Real vehicles that come back from another heading: retrieval with the queries turned by chance, and as they are.

    python -m benchmarks.turned_frames --frames DIR --checkpoint NAME=FILE [--checkpoint ..]
        [--trunk-weights FILE --stride 1x1 --bn-eps 1.001e-5] [--quick] [--json]

`--frames` is a folder of frames with a ``manifest.csv`` (path, identity, role, box, stationary). Most of its vehicles
have the same heading in all their views, so that no method has to align anything. Therefore each frame is turned by a
random angle before the query is cut out of it: the circle around its box, because corners would betray the turn. Rows:
every method on plain boxes, on circles as they are, and on circles turned; moving vehicles first, then all.
"""

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.synthetic import TrunkFeatures
from index.bulk_embedding import EmbedBatch
from index.evaluation import evaluate
from index.manifest import Entry, Manifest, read_manifest
from index.task import plan_task
from model.checkpoint import load_checkpoint
from model.config import Stride
from model.cores import usable_cores
from model.embedder import Embedder, pick_device
from model.given_path import given_path
from model.normalization import IMAGENET_MEAN
from model.number import decimal_number
from model.preprocessing import Preprocessing
from training.alignment.turning import circle_around, turnable, turned_views

_MOVING = "stationary=0"
_SMALLEST_SIDE_PX = 32


def cut_circles(manifest: Manifest, out: Path, *, turn_queries: bool, seed: int = 0) -> Manifest:
    """Writes the circle around each labelled box as an image of its own, those of queries from turned frames.

    Vehicles whose circle does not lie in their frame are left out. The turns are the same whatever the manifest holds
    besides: they follow from the seed and the entry's number.
    """
    entries: list[Entry] = []
    out.mkdir(parents=True)
    for number, frame, box in tqdm(turnable(manifest, manifest.entries), "circles"):
        entry = manifest.entries[number]
        if not entry.identity:
            continue
        turned = turn_queries and entry.role == "query"
        turn_deg = float(np.random.default_rng([seed, number]).uniform(0, 360)) if turned else 0.0
        size_px = max(_SMALLEST_SIDE_PX, round(2 * circle_around(box)[2]))
        view = turned_views(frame, box, [turn_deg], size_px, IMAGENET_MEAN)[0]
        name = f"{number}.png"
        Image.fromarray(view).save(out / name)
        entries.append(dataclasses.replace(entry, path=name, box=None))
    return Manifest(out, tuple(entries), manifest.protocol)


def measure(manifest: Manifest, name: str, preprocessing: Preprocessing, embed: EmbedBatch) -> dict[str, Any]:
    """CMC and mAP of one method on one manifest."""
    task = plan_task(manifest)
    with tqdm(total=len(task.entries), desc=name, unit="img") as bar:
        result = evaluate(task, preprocessing, embed, bar.update)
    return {
        "method": name,
        "cmc1": result.cmc(1),
        "cmc1_interval": list(result.intervals["cmc1"]),
        "cmc5": result.cmc(5),
        "map": result.map,
        "num_queries": len(task.queries),
        "num_gallery": len(task.gallery),
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.turned_frames",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=given_path, required=True, help="real frames with a manifest")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FILE", help="a method; repeatable")
    parser.add_argument("--trunk-weights", help="weights of a ResNet-50's trunk, as a method that saw no vehicle")
    parser.add_argument("--stride", choices=get_args(Stride), default="3x3", help='"1x1" for ResNet-v1 weights')
    parser.add_argument(
        "--bn-eps", type=decimal_number, default=1e-5, help="BatchNorm epsilon of the weights (Keras 1.001e-5)"
    )
    parser.add_argument("--quick", action="store_true", help="moving vehicles only, under a minute")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    methods: list[tuple[str, Preprocessing, EmbedBatch]] = []
    if args.trunk_weights:
        methods.append(("ImageNet trunk", Preprocessing(), TrunkFeatures(args.trunk_weights, args.stride, args.bn_eps)))
    for text in args.checkpoint:
        name, _, file = text.partition("=")
        checkpoint = load_checkpoint(Path(file))
        embedder = Embedder(checkpoint, pick_device("auto"))
        methods.append((name, checkpoint.card.preprocessing, embedder.embed_prepared))
    if not methods:
        parser.error("name a method: --checkpoint NAME=FILE or --trunk-weights FILE")
    manifest = read_manifest(args.frames)
    manifest = manifest.where([_MOVING]) if args.quick else manifest
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        views = {
            "boxes": manifest,
            "circles": cut_circles(manifest, Path(temporary) / "plain", turn_queries=False),
            "circles, queries turned": cut_circles(manifest, Path(temporary) / "turned", turn_queries=True),
        }
        for vehicles in ("moving",) if args.quick else ("moving", "all"):
            for view, of_view in views.items():
                asked = of_view.where([_MOVING]) if vehicles == "moving" else of_view
                rows += [{"vehicles": vehicles, "view": view} | measure(asked, *method) for method in methods]
    turned = {row["method"]: row["cmc1"] for row in rows if row["view"].endswith("turned")}
    machine = {"machine": platform.machine(), "cores": usable_cores(), "python": platform.python_version()}
    result = {"headline": {"turned_cmc1": turned}, "rows": rows, "machine": machine}
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
