"""Makes the checkpoint that ships out of a training run: whole, with figures and a model card of this very network.

    python -m training.ship RUN --out FILE --data DIR_OR_MANIFEST --calibration-data DIR_OR_MANIFEST [--json]

RUN is a run's folder, or a checkpoint. Its weights are halved; the halved network is evaluated on --data (its split
`test`, or --split), calibrated on the known vehicles of --calibration-data that it was not trained on, and its
alignment is measured where --data has headings. All of it stands in the checkpoint's header, and for people in a .md
file beside it. Both are there whole at the end, or not at all: no checkpoint ships with the figures of another.
"""

import argparse
import json
import sys
from typing import Any, Final

from index.calibration.calibrating import NUM_QUERIES
from index.calibration.calibration import CalibrationError
from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import plan_task
from model.box import BoxError
from model.checkpoint import CheckpointError, annotate_checkpoint, halve_checkpoint, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from model.whole_file import whole_file
from training.alignment.headings import COLUMN, measure_headings
from training.arguments import add_data_arguments, open_given, read_data
from training.calibrate import calibrate_on, known_vehicles
from training.evaluate import annotation, embed_task
from training.model_card import model_card
from training.run_folder import RunFolder

_FAILURES: Final = (
    ManifestError, ProtocolError, CheckpointError, CalibrationError, ImageError, BoxError, EmbeddingError, OSError
)  # fmt: skip


def main() -> int:
    """The command: 0 when both files are there, 1 if they cannot be, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    try:
        result = _ship(args, device)
    except _FAILURES as error:
        sys.stderr.write(f"training.ship: {error}\n")
        return 1
    sys.stdout.write((json.dumps(result) if args.json else f"{args.out} and {result['card']} are written") + "\n")
    return 0


def _ship(args: argparse.Namespace, device: Any) -> dict[str, Any]:
    source = RunFolder(args.run).best if args.run.is_dir() else args.run
    card_file = args.out.with_suffix(".md")
    for file in (args.out, card_file):
        if file.exists():
            raise FileExistsError(f"{file} is there already: remove it, or choose another --out")
    # What takes long comes after what may be wrong.
    manifest = read_data(args)
    task = plan_task(manifest, args.split)
    known = known_vehicles(open_given(args.calibration_data, args), args.calibration_split)
    with whole_file(args.out) as checkpoint_file, whole_file(card_file) as text_file:
        checkpoint_file.unlink()  # it is written as a new one
        halve_checkpoint(source, checkpoint_file)
        embedder = Embedder(load_checkpoint(checkpoint_file), device)
        embedded = embed_task(embedder, task, quiet=args.quiet)
        evaluation = annotation(embedder, task, embedded)
        if all(COLUMN in entry.further for entry in task.entries):
            evaluation["alignment"] = measure_headings(
                task.manifest, list(task.entries), embedded.theta, embedder.card.preprocessing.resize
            )
        calibration = calibrate_on(known, embedder, num_queries=NUM_QUERIES, quiet=args.quiet)
        annotate_checkpoint(checkpoint_file, evaluation=evaluation, calibration=calibration.to_dict())
        size_bytes = checkpoint_file.stat().st_size
        text_file.write_text(model_card(args.out.name, size_bytes, embedder.card, evaluation, calibration), "utf-8")
    return {
        "checkpoint": str(args.out),
        "card": str(card_file),
        "fingerprint": embedder.card.fingerprint,
        "size_bytes": size_bytes,
        "evaluation": evaluation,
        "calibration": calibration.to_dict(),
    }


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("run", type=given_path, metavar="RUN", help="a training run's folder, or a checkpoint")
    parser.add_argument("--out", type=given_path, required=True, help="the .safetensors file to write, a new one")
    add_data_arguments(parser)
    parser.add_argument("--split", help="of --data: by default the only one that has queries, or test")
    parser.add_argument("--calibration-data", type=given_path, required=True, help="vehicles that nobody trained on")
    parser.add_argument("--calibration-split", help="only this split; all: every image (default: all but train)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
