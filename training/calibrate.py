"""Finds out what a checkpoint's distances mean: probabilities, and decisions with promised error rates.

    python -m training.calibrate --checkpoint FILE --data DIR_OR_MANIFEST [--sizes 100,1000,10000] [--annotate] [--json]

The vehicles must be such as the network was not trained on; where the data have splits, `train` is left out. All images
with a known identity take part, whatever their role: galleries of several sizes are drawn from them, and each of a
gallery's vehicles is asked for twice, once with its own records left out, as a vehicle that nobody has enrolled. Junk,
distractors and images without an identity play no part.

What it promises, it measures on vehicles that it was not fitted to (two-fold cross-fitting). --annotate writes it into
the checkpoint, where the service reads it. --measure says how well the calibration in the checkpoint does on these
vehicles instead.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import Any, Final

from tqdm import tqdm

from index.calibration.calibrating import NUM_QUERIES, calibrate
from index.calibration.calibration import Calibration, CalibrationError
from index.calibration.error_figures import error_figures, judge
from index.calibration.trials import Vehicles, draw_trials
from index.command_parser import CommandParser
from index.datasets.bulk_embedding import embed_entries
from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import ProtocolError
from model.box import BoxError
from model.checkpoint import CheckpointError, annotate_checkpoint, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from model.number import whole_number
from model.precision import PRECISIONS, slow_precision_warning
from training.arguments import add_data_arguments, at_least_one, read_data, seed

_FAILURES: Final = (
    ManifestError, ProtocolError, CheckpointError, CalibrationError, ImageError, BoxError, EmbeddingError, OSError
)  # fmt: skip


def main() -> int:
    """The command: 0 when calibrated, 1 if it cannot be, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    if args.measure and args.annotate:
        parser.error("--measure changes nothing: leave out --annotate")
    try:
        manifest = known_vehicles(read_data(args).where(args.where), args.split)
        calibration = _calibrate(args, manifest)
        if args.annotate:
            annotate_checkpoint(args.checkpoint, calibration=calibration.to_dict())
    except _FAILURES as error:
        sys.stderr.write(f"training.calibrate: {error}\n")
        return 1
    for warning in manifest.warnings:
        sys.stderr.write(f"training.calibrate: warning: {warning}\n")
    sys.stdout.write(json.dumps(calibration.to_dict()) + "\n" if args.json else table(calibration))
    return 0


def known_vehicles(manifest: Manifest, split: str | None) -> Manifest:
    """The images with a known identity of one split, of ``all``, or by default of all but `train`.

    Raises:
        ManifestError: there is none.
    """

    def takes_part(entry: Entry) -> bool:
        in_split = split in ("all", entry.split) if split is not None else "train" not in (entry.split, entry.role)
        return in_split and entry.identity != "" and entry.role not in ("junk", "distractor")

    kept = manifest.keep(takes_part)
    if not kept.entries:
        where = "outside the split train" if split is None else f"in the split {split}"
        raise ManifestError(f"{manifest.folder} has no image of a known vehicle {where}")
    return kept


def table(calibration: Calibration) -> str:
    """The error figures for people."""
    lines = [
        "gallery  unknown  known   ECE    decision            accepted:  unknown (95 %)       promised  known and right"
    ]
    for size in calibration.measured["sizes"]:
        begin = f"{size['num_records']:>7,}  {size['num_unknown']:>7,}  {size['num_known']:>5,}  {size['ece']:>5.1%}"
        for name, figures in size["decisions"].items():
            false, true = figures["false_accepts"], figures["true_accepts"]
            low, high = false["interval"]
            right = "-" if true is None else f"{true['share']:.1%}"
            lines.append(
                f"{begin:<33}  {name.replace('_', ' '):<18}  {false['share']:>18.2%} ({low:.2%}-{high:.2%})  "
                f"{figures['promised']:>8.1%}  {right:>15}"
            )
            begin = ""
    return "\n".join(lines) + "\n"


def _calibrate(args: argparse.Namespace, manifest: Manifest) -> Calibration:
    checkpoint = load_checkpoint(args.checkpoint)
    device = pick_device(args.device)
    if warning := slow_precision_warning(device, args.precision):
        sys.stderr.write(f"training.calibrate: warning: {warning}\n")
    embedder = Embedder(checkpoint, device, args.precision)
    if args.measure:
        if checkpoint.card.calibration is None:
            raise CalibrationError(f"{args.checkpoint} has no calibration that could be measured: leave out --measure")
        calibration = Calibration.from_dict(checkpoint.card.calibration)
        vehicles = _embed(manifest, embedder, quiet=args.quiet)
        sizes = args.sizes or calibration.sizes
        sizes = tuple(size for size in sizes if size <= min(len(vehicles.identity), calibration.largest_gallery))
        trials = draw_trials(vehicles, sizes, args.queries, [args.seed])
        measured = error_figures(judge(calibration, trials), sizes, calibration.unknown_share)
        return replace(calibration, measured=measured)
    return calibrate_on(
        manifest, embedder, sizes=args.sizes, num_queries=args.queries, seed=args.seed, quiet=args.quiet
    )


def _embed(manifest: Manifest, embedder: Embedder, *, quiet: bool) -> Vehicles:
    with tqdm(total=len(manifest.entries), unit="img", disable=quiet) as bar:
        preprocessing = embedder.card.preprocessing
        embedded = embed_entries(manifest, manifest.entries, preprocessing, embedder.embed_prepared, bar.update)
    return Vehicles.named(embedded.embedding, [entry.identity for entry in manifest.entries], embedded.content)


def calibrate_on(
    manifest: Manifest,
    embedder: Embedder,
    *,
    sizes: tuple[int, ...] | None = None,
    num_queries: int = NUM_QUERIES,
    seed: int = 0,
    quiet: bool = False,
) -> Calibration:
    """The calibration of a model on the known vehicles of a manifest.

    Raises:
        CalibrationError: there are too few of them.
        ImageError, BoxError, OSError: an image cannot be used.
    """
    vehicles = _embed(manifest, embedder, quiet=quiet)
    fitted_on: dict[str, Any] = {
        "data": manifest.protocol.dataset or manifest.folder.name,
        "num_images": len(vehicles.identity),
        "num_vehicles": len(set(vehicles.identity.tolist())),
        "model": embedder.card.fingerprint,
        "precision": embedder.precision,
    }
    return calibrate(vehicles, fitted_on, sizes=sizes, num_queries=num_queries, seed=seed)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(whole_number(part.strip()) for part in text.split(","))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise argparse.ArgumentTypeError(f"expected rising numbers of 1 or more, such as 100,1000,10000, got {text}")
    return sizes


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m training.calibrate", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, required=True, help="the .safetensors checkpoint")
    add_data_arguments(parser)
    parser.add_argument("--split", help="only this split; all: every image (default: all but train)")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only lines that say so; repeatable"
    )
    parser.add_argument(
        "--sizes", type=_sizes, help="records in the galleries (default: 10, 30, 100, .. as far as the images go)"
    )
    parser.add_argument(
        "--queries", type=at_least_one, default=NUM_QUERIES, help=f"of each size and half (default {NUM_QUERIES:,})"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the draws")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--annotate", action="store_true", help="write it into the checkpoint")
    parser.add_argument(
        "--measure", action="store_true", help="fit nothing: measure the checkpoint's own calibration on these vehicles"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print it as one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
