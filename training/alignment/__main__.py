"""Measures self-alignment.

    python -m training.alignment headings --checkpoint FILE --data DIR_OR_MANIFEST [--split test] [--json]
    python -m training.alignment consistency --checkpoint FILE --data FRAMES [--where COLUMN=VALUE] [--json]

headings compares the aligned views of vehicles whose true headings are known (UAV-Synth): is there one heading for all?
Figures are modulo 360 and, front and rear alike, modulo 180; a median of 90 or 45 degrees means that there is none.
consistency turns frames by known angles, then cuts the vehicles out: does each come back to the same aligned view? It
says nothing of a common heading, and needs no truth: real frames with boxes will do.
"""

import argparse
import json
import sys
from typing import Any

from tqdm import tqdm

from index.command_parser import CommandParser
from index.datasets.bulk_embedding import embed_entries
from index.datasets.manifest import Entry, Manifest, ManifestError
from index.datasets.protocol import ProtocolError
from model.box import BoxError
from model.checkpoint import CheckpointError, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from training.alignment.consistency import TURNS_DEG, measure_consistency
from training.alignment.headings import known_heading, measure_headings
from training.arguments import add_data_arguments, read_data


def main() -> int:
    """The command: 0 with figures, 1 if there can be none, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    try:
        manifest = read_data(args).where(args.where)
        for warning in manifest.warnings:
            sys.stderr.write(f"training.alignment: warning: {warning}\n")
        entries = [entry for entry in manifest.entries if args.split in (None, entry.split)]
        if not entries:
            raise ManifestError(f"the split {args.split!r} has no images")
        checkpoint = load_checkpoint(args.checkpoint)
        embedder = Embedder(checkpoint, device)
        figures = _headings if args.command == "headings" else _consistency
        with tqdm(total=len(entries), unit="img", disable=args.quiet) as bar:
            result = figures(manifest, entries, embedder, bar)
    except (ManifestError, ProtocolError, CheckpointError, EmbeddingError, ImageError, BoxError, OSError) as error:
        sys.stderr.write(f"training.alignment: {error}\n")
        return 1
    result |= {"model": checkpoint.card.fingerprint, "dataset": manifest.protocol.dataset}
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")
    return 0


def _headings(manifest: Manifest, entries: list[Entry], embedder: Embedder, bar: "tqdm[Any]") -> dict[str, Any]:
    for entry in entries:
        known_heading(entry)  # before the network has worked for nothing
    preprocessing = embedder.card.preprocessing
    embedded = embed_entries(manifest, entries, preprocessing, embedder.embed_prepared, bar.update)
    return {"num_images": len(entries), **measure_headings(manifest, entries, embedded.theta, preprocessing.resize)}


def _consistency(manifest: Manifest, entries: list[Entry], embedder: Embedder, bar: "tqdm[Any]") -> dict[str, Any]:
    preprocessing = embedder.card.preprocessing
    return measure_consistency(
        manifest, entries, preprocessing, embedder.embed_prepared, TURNS_DEG, bar.update
    ).to_dict()


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m training.alignment", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("headings", "against known headings"), ("consistency", "against known turns")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--checkpoint", type=given_path, required=True, help="the .safetensors checkpoint")
        add_data_arguments(command)
        command.add_argument("--split", help="only this split")
        command.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only such lines")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
        command.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
