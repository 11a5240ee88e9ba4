"""Is the alignment real? On rendered vehicles, on real ones, and against what a network might follow instead.

    python -m benchmarks.alignment --checkpoint FILE [--data UAV_SYNTH] [--surroundings UAV_SYNTH_WITH_SURROUNDINGS]
        [--frames DIR] [--oriented IMAGE LABELS] [--quick] [--json]

- ``headings``: `--data`'s test vehicles, one heading for all? Modulo 360 and 180, before and after.
- ``consistency``: vehicles of turned frames, rendered (`--surroundings`) and real (`--frames`): degrees off their mean.
- ``decoy``: real vehicles; what lies around the vehicle's disc is turned, the disc is not, and the other way round. A
  network that follows the vehicle does not notice the first and follows the second.
- ``crossing``: real vehicles of long boxes, lying or standing in the same frame. Its sun, and so all its shadows, have
  one direction: who follows them finds the same axis for both kinds, and is off by 90 degrees for one of them.
- ``axis``: `--oriented` is a photograph and its labels in DOTA's format: real vehicles with true axes, modulo 180. Do
  they stand upright in the aligned view, or lie as the sun does?
"""

import argparse
import json
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from index.command_parser import CommandParser
from index.datasets.bulk_embedding import EmbedBatch, embed_entries
from index.datasets.manifest import Entry, Manifest, ManifestError, read_manifest
from model.box import Box, BoxError
from model.checkpoint import CheckpointError, load_checkpoint
from model.cores import usable_cores
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError, read_image
from model.preprocessing import Preprocessing
from model.theta import turn_of
from training.alignment.circular import circular_mean_deg, residuals_deg
from training.alignment.consistency import TURNS_DEG, measure_consistency
from training.alignment.headings import NEAR_DEG, input_heading_deg, measure_headings
from training.alignment.turning import circle_around, circle_fits, turnable, turned_views

_ROOM: Final = 1.35
"""How much more than the circle around the box a decoy view shows."""
_LONG: Final = 1.8
"""How many times longer than wide a box has to be for its vehicle's axis to be known."""
_BATCH_SIZE: Final = 64


def headings(manifest: Manifest, embedder: Embedder) -> dict[str, Any]:
    """The spread of the test split's headings."""
    entries = [entry for entry in manifest.entries if entry.split in ("", "test")]
    preprocessing = embedder.card.preprocessing
    with tqdm(total=len(entries), desc="headings", unit="img") as bar:
        embedded = embed_entries(manifest, entries, preprocessing, embedder.embed_prepared, bar.update)
    return {"num_images": len(entries), **measure_headings(manifest, entries, embedded.theta, preprocessing.resize)}


def consistency(manifest: Manifest, entries: Sequence[Entry], embedder: Embedder) -> dict[str, Any]:
    """How far turned frames' vehicles stray from one aligned view each."""
    with tqdm(total=len(entries), desc="consistency", unit="img") as bar:
        return measure_consistency(
            manifest, entries, embedder.card.preprocessing, embedder.embed_prepared, TURNS_DEG, bar.update
        ).to_dict()


def decoy(
    manifest: Manifest, entries: Sequence[Entry], preprocessing: Preprocessing, embed_batch: EmbedBatch
) -> dict[str, Any]:
    """What is turned with the ring around the vehicle, and what with the vehicle itself.

    Returns:
        Medians over vehicles and turns: of the angle between the answer and the one without any turn, when only the
        surroundings were turned (0: not followed), and between the answer and the vehicle's turn, when only the vehicle
        was (0: followed). 90 is chance.
    """
    surroundings: list[NDArray[np.floating]] = []
    vehicle: list[NDArray[np.floating]] = []
    size_px, mean = preprocessing.size_px, preprocessing.mean
    x = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    disc = (x**2 + x[:, None] ** 2 <= (1 / _ROOM) ** 2)[None, :, :, None]
    for _, frame, box in tqdm(turnable(manifest, entries), "decoy"):
        height, width, _ = frame.shape
        wide = widened(box, _ROOM)
        if not circle_fits(wide, width, height):
            continue
        views = turned_views(frame, wide, TURNS_DEG, size_px, mean)
        for mixed, found in (
            (np.where(disc, views[:1], views), surroundings),
            (np.where(disc, views, views[:1]), vehicle),
        ):
            turns = np.array([turn_of(theta).rotation_deg for theta in embed_batch(mixed).theta])
            moved = turns[1:] - turns[0]
            off = moved if found is surroundings else moved + np.array(TURNS_DEG[1:])
            found.append(np.abs((off + 180) % 360 - 180))
    return {
        "num_vehicles": len(vehicle),
        "surroundings_turned_median_deg": float(np.median(surroundings)),
        "vehicle_turned_median_deg": float(np.median(vehicle)),
    }


def crossing(
    manifest: Manifest, entries: Sequence[Entry], preprocessing: Preprocessing, embed_batch: EmbedBatch
) -> dict[str, Any]:
    """How far a frame's lying and standing vehicles are from upright in the aligned view, modulo 180.

    What the network sees is the circle around the box, whose outline tells nothing. A box at least `_LONG` times as
    long as wide has its vehicle's axis within about 11 degrees of its own. Frames that have only one kind do not count.
    """
    found: list[tuple[str, bool]] = []
    views: list[NDArray[np.uint8]] = []
    for position, frame, box in turnable(manifest, entries):
        if max(box.w, box.h) >= _LONG * min(box.w, box.h):
            found.append((entries[position].path, box.w > box.h))
            views.append(turned_views(frame, box, [0.0], preprocessing.size_px, preprocessing.mean)[0])
    kinds: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for start in tqdm(range(0, len(views), _BATCH_SIZE), "crossing"):
        thetas = embed_batch(np.stack(views[start : start + _BATCH_SIZE])).theta
        for (name, lies), theta in zip(found[start : start + _BATCH_SIZE], thetas, strict=True):
            axis_deg = (0.0 if lies else 90.0) + turn_of(theta).rotation_deg
            kinds[name][lies].append(abs(axis_deg % 180 - 90))
    both = [offs for offs in kinds.values() if offs[True] and offs[False]]
    result: dict[str, Any] = {"num_frames": len(both)}
    for kind, lies in (("lying", True), ("standing", False)):
        off = np.array([value for offs in both for value in offs[lies]])
        result[kind] = {"num_vehicles": len(off)} | (
            {"median_deg": float(np.median(off)), f"share_within_{NEAR_DEG:.0f}_deg": float((off <= NEAR_DEG).mean())}
            if len(off)
            else {}
        )
    return result


def widened(box: Box, factor: float) -> Box:
    """A box of the same centre whose circle is larger by a factor."""
    x, y, _ = circle_around(box)
    w, h = box.w * factor, box.h * factor
    return Box(round(x - w / 2), round(y - h / 2), round(w), round(h))


def axis(image: Path, labels: Path, embedder: Embedder) -> dict[str, Any]:
    """The axes of real vehicles whose oriented boxes are known, before and after, modulo 180: their mean and spread.

    A network that sees the vehicles puts the mean where it puts that of rendered ones: upright, at 90 degrees.
    """
    frame = read_image(image)
    height, width, _ = frame.shape
    boxes, truths = read_oriented_boxes(labels)
    inside = [i for i, box in enumerate(boxes) if circle_fits(box, width, height)]
    crops = [boxes[i].clip(width, height).cut(frame) for i in inside]
    before = np.array([truths[i] for i in inside])
    if embedder.card.preprocessing.resize == "stretch":
        sizes = [(crop.shape[1], crop.shape[0]) for crop in crops]
        before = np.array([input_heading_deg(truth, *size) for truth, size in zip(before, sizes, strict=True)])
    after = before + np.array([turn_of(theta).rotation_deg for theta in embedder.embed(crops).theta])
    return {"num_vehicles": len(inside)} | {
        name: {
            "mean_deg": float(circular_mean_deg(axes, 180)),
            "median_deg": float(np.median(residuals_deg(axes, 180))),
            f"share_within_{NEAR_DEG:.0f}_deg": float((residuals_deg(axes, 180) <= NEAR_DEG).mean()),
        }
        for name, axes in (("before", before), ("after", after))
    }


def read_oriented_boxes(labels: Path) -> tuple[list[Box], NDArray[np.floating]]:
    """DOTA's labels, ``x1 y1 .. x4 y4 category difficult``: the upright boxes, and the long sides' directions (N,).

    Directions are in degrees, counter-clockwise from the right, modulo 180.
    """
    boxes, axes = [], []
    for line in labels.read_text("utf-8").splitlines():
        fields = line.split()
        if len(fields) < 10 or "vehicle" not in fields[8]:
            continue
        corners = np.array(fields[:8], float).reshape(4, 2)
        left, top = np.floor(corners.min(0)).astype(int)
        right, bottom = np.ceil(corners.max(0)).astype(int)
        boxes.append(Box(int(left), int(top), int(right - left), int(bottom - top)))
        sides = corners[[1, 2]] - corners[[0, 1]]
        x, y = sides[np.hypot(*sides.T).argmax()]
        axes.append(np.rad2deg(np.arctan2(-y, x)) % 180)
    return boxes, np.array(axes)


def main() -> int:
    """The command: 0 with figures, 1 if there can be none, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m benchmarks.alignment", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, required=True)
    parser.add_argument("--data", type=given_path, help="UAV-Synth")
    parser.add_argument("--surroundings", type=given_path, help="UAV-Synth drawn with --surroundings")
    parser.add_argument("--frames", type=given_path, help="real frames with a manifest")
    parser.add_argument(
        "--oriented", type=given_path, nargs=2, metavar=("IMAGE", "LABELS"), help="labels in DOTA's format"
    )
    parser.add_argument("--quick", action="store_true", help="every tenth vehicle, under a minute")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        embedder = Embedder(load_checkpoint(args.checkpoint), pick_device("auto"))
        rows = measure(args, embedder)
    except (ManifestError, CheckpointError, EmbeddingError, ImageError, BoxError, OSError) as error:
        sys.stderr.write(f"benchmarks.alignment: {error}\n")
        return 1
    machine = {"machine": platform.machine(), "cores": usable_cores(), "python": platform.python_version()}
    headline = {"model": embedder.card.fingerprint}
    sys.stdout.write(
        json.dumps({"headline": headline, "rows": rows, "machine": machine}, indent=None if args.json else 2) + "\n"
    )
    return 0


def measure(args: argparse.Namespace, embedder: Embedder) -> list[dict[str, Any]]:
    """A row for each measure that there is data for."""
    preprocessing, embed = embedder.card.preprocessing, embedder.embed_prepared
    step = 10 if args.quick else 1
    rows: list[dict[str, Any]] = []
    if args.data:
        manifest = read_manifest(args.data)
        manifest = Manifest(manifest.folder, manifest.entries[::step], manifest.protocol)
        rows.append({"measure": "headings", "vehicles": "rendered"} | headings(manifest, embedder))
    for vehicles, folder in (("rendered", args.surroundings), ("real", args.frames)):
        if folder:
            manifest = read_manifest(folder)
            known = [entry for entry in manifest.entries if entry.identity and entry.split in ("", "test")][::step]
            rows.append({"measure": "consistency", "vehicles": vehicles} | consistency(manifest, known, embedder))
            if folder is args.frames:  # rendered surroundings end at the circle: there is no ring to turn
                rows.append({"measure": "decoy", "vehicles": vehicles} | decoy(manifest, known, preprocessing, embed))
                boxed = [entry for entry in manifest.entries if entry.box is not None]
                rows.append(
                    {"measure": "crossing", "vehicles": vehicles} | crossing(manifest, boxed, preprocessing, embed)
                )
    if args.oriented:
        rows.append({"measure": "axis", "vehicles": "real"} | axis(args.oriented[0], args.oriented[1], embedder))
    return rows


if __name__ == "__main__":
    sys.exit(main())
