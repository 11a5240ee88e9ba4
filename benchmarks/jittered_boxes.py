"""Many crops of few images: each vehicle's box again and again, shifted and scaled as detectors would draw it.

    python -m benchmarks.jittered_boxes --data DIR_OR_MANIFEST [--data ...] --out FILE.csv [--rows 100000] [--seed 16]

Writes a manifest of so many lines, the first of each image with its own box. `benchmarks.search` measures on it what a
gallery of real embeddings is like. Data sets may have the same names for other vehicles: each identity is given the
data set's number.
"""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from index.command_parser import CommandParser
from index.datasets.manifest import Manifest, ManifestError
from index.datasets.protocol import ProtocolError
from model.box import Box
from model.given_path import given_path
from model.whole_file import whole_file
from training.arguments import at_least_one
from training.datasets.opening import open_data

_LEAST_PX: Final = 16

Vehicle = tuple[Path, str, Box, tuple[int, int]]


def vehicles_of(manifests: Sequence[Manifest]) -> Iterator[Vehicle]:
    """File, identity, box and the image's (width, height) in pixels."""
    for number, manifest in enumerate(manifests, start=1):
        for entry in manifest.entries:
            path = manifest.path_of(entry)
            with Image.open(path) as image:
                size = image.size
            yield path, f"{number}-{entry.identity}", entry.box or Box(0, 0, *size), size


def jittered(box: Box, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box inside an image (width, height): shifted by up to a tenth, scaled by a fifth, in height by a tenth more."""
    scale = np.exp(rng.uniform(-0.2, 0.2))
    shift_x, shift_y = rng.uniform(-0.1, 0.1, 2)
    width = max(_LEAST_PX, box.w * scale)
    height = max(_LEAST_PX, box.h * scale * np.exp(rng.uniform(-0.1, 0.1)))
    centre_x, centre_y = box.x + (0.5 + shift_x) * box.w, box.y + (0.5 + shift_y) * box.h
    left, top = max(0, int(centre_x - width / 2)), max(0, int(centre_y - height / 2))
    right, bottom = min(size[0], int(centre_x + width / 2)), min(size[1], int(centre_y + height / 2))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def write(vehicles: Sequence[Vehicle], out: Path, num_rows: int, seed: int) -> None:
    """Writes the manifest, whole or not at all; every vehicle gets as many lines as the others, or one more."""
    rng = np.random.default_rng(seed)
    num_each = np.full(len(vehicles), num_rows // len(vehicles))
    num_each[rng.permutation(len(vehicles))[: num_rows - num_each.sum()]] += 1
    with whole_file(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "identity", "box"])
        for (path, identity, box, size), num in zip(vehicles, num_each.tolist(), strict=True):
            for number in range(num):
                drawn = box if number == 0 else jittered(box, size, rng)
                lines.writerow([os.path.relpath(path, out.parent), identity, str(drawn)])


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    try:
        write(list(vehicles_of([open_data(data) for data in args.data])), args.out, args.rows, args.seed)
    except (ManifestError, ProtocolError, OSError) as error:
        print(f"benchmarks.jittered_boxes: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {args.rows} lines")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m benchmarks.jittered_boxes", description=__doc__)
    parser.add_argument("--data", type=given_path, action="append", required=True, help="whose images; repeatable")
    parser.add_argument("--out", type=given_path, required=True, metavar="FILE.csv")
    parser.add_argument("--rows", type=at_least_one, default=100_000, help="lines (default 100,000)")
    parser.add_argument("--seed", type=int, default=16, help="of the boxes (default 16)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
