"""Builds a gallery from a manifest, or from a folder of images, without a service: it is there when the service starts.

    python -m index.build --checkpoint FILE --data MANIFEST --data-dir DIR [--where split=test] [--json]
    python -m index.build --checkpoint FILE --data FOLDER --data-dir DIR [--identity-from-folder]

Of a manifest everything is enrolled but queries and junk, with identity, camera, captured_at, latitude, longitude, tags
and source (else the path); further columns become attributes. Of a folder without manifest.csv every image in it or
below is a vehicle. The ids are those of POST /gallery, so that what is there already is a duplicate and is not embedded
again. A line that POST /gallery would refuse is named and left out alone. Ctrl-C keeps what is done; the same command
goes on.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

from tqdm import tqdm

from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError, UnusableLine
from index.datasets.protocol import ProtocolError
from index.embedded.generation import kept_precision
from index.embedded.opening import open_gallery
from index.gallery.bulk_enrolment import Outcome, enrol_entries, enrollable
from index.gallery.bulk_intake import Remark
from index.gallery.enrolment_data import open_enrolment_data
from index.gallery.entry_fields import columns_not_kept
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey
from index.stop_signal import stop_signal
from model.checkpoint import CheckpointError, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.precision import PRECISION_CHOICES, choose_precision, slow_precision_warning


def main() -> int:
    """The command: 0 if everything is in the gallery, 1 if something is not, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        with stop_signal() as stop_asked:
            result = _build(args, stop_asked)
    except ValueError as error:
        if isinstance(error, ManifestError | ProtocolError | CheckpointError):
            return _fail(error)
        parser.error(str(error))
    except (GalleryError, EmbeddingError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:  # the second Ctrl-C
        return _fail("stopped; the same command goes on")
    for rejection in result["rejections"]:
        _say(f"{_place(rejection)}: {rejection['detail']}")
    if result["stopped"]:
        enrolled, duplicates = result["enrolled"], result["duplicates"]
        _say(f"stopped: {enrolled} enrolled, {duplicates} duplicates so far; the same command goes on")
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 1 if result["rejected"] or result["stopped"] else 0


def _build(args: argparse.Namespace, stop_asked: Callable[[], bool]) -> dict[str, Any]:
    manifest, unusable = open_enrolment_data(args.data, identity_from_folder=args.identity_from_folder)
    manifest = manifest.where(args.where) if manifest.entries else manifest
    entries = enrollable(manifest)
    if not entries and not unusable:
        raise ManifestError(f"{args.data} has queries and junk only: a gallery is built from all other roles")
    not_kept = columns_not_kept(entries)
    checkpoint = load_checkpoint(args.checkpoint)
    card, device = checkpoint.card, pick_device(args.device)
    precision = choose_precision(args.precision, device, kept_precision(args.data_dir, card.fingerprint))
    for warning in filter(None, (*manifest.warnings, slow_precision_warning(device, precision))):
        _say(f"warning: {warning}")
    model = ModelKey(card.fingerprint, precision)
    with closing(open_gallery(args.data_dir, model, card.config.embedding_dim)) as gallery:
        embedder = Embedder(checkpoint, device, precision)
        with tqdm(total=len(entries), unit="vehicle", disable=args.quiet) as bar:
            outcome = enrol_entries(
                manifest, entries, gallery, model, card.preprocessing, embedder.embed_prepared, bar.update, stop_asked
            )
        rejections = [*map(_unusable_line, unusable), *map(_remark, outcome.rejected)]
        return {
            "data_dir": str(args.data_dir),
            "model": model.fingerprint,
            "precision": model.precision,
            **_counts(outcome),
            "rejected": len(rejections),
            "rejections": sorted(rejections, key=lambda rejection: rejection["line"] or 0),
            "warnings": list(map(_remark, outcome.warnings)),
            "data_warnings": list(manifest.warnings),
            "columns_not_kept": not_kept,
            "stopped": outcome.stopped,
            "searchable": gallery.num_searchable,
        }


def _counts(outcome: Outcome) -> dict[str, int]:
    return {"enrolled": outcome.enrolled, "duplicates": outcome.duplicates, "differing": outcome.differing}


def _unusable_line(line: UnusableLine) -> dict[str, Any]:
    return {"line": line.line, "path": line.path, "box": None, "detail": line.reason}


def _remark(remark: Remark) -> dict[str, Any]:
    entry, detail = remark
    box = None if entry.box is None else str(entry.box)
    return {"line": entry.line or None, "path": entry.path, "box": box, "detail": detail}


def _place(remark: dict[str, Any]) -> str:
    line = f"line {remark['line']}" if remark["line"] else ""
    at_box = f" at {remark['box']}" if remark["box"] else ""
    # Of a line that is no text there is no path.
    return ": ".join(filter(None, (line, f"{remark['path']}{at_box}")))


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['data_dir']}: {result['enrolled']} enrolled, {result['duplicates']} there already, "
        f"{result['rejected']} rejected; {result['searchable']} can be found"
    ]
    if result["differing"]:
        lines.append(f"note: {result['differing']} were there with other fields than the data's, which stayed")
    if result["columns_not_kept"]:
        lines.append(
            f"columns not kept: {', '.join(name or '(without a name)' for name in result['columns_not_kept'])}"
        )
    # Warnings of one kind differ in their numbers alone.
    kind_of = [re.sub(r"-?\d+", "#", warning["detail"]) for warning in result["warnings"]]
    for kind, number in Counter(kind_of).most_common():
        first = result["warnings"][kind_of.index(kind)]
        others = f" (and {number - 1} more such vehicles)" if number > 1 else ""
        lines.append(f"warning: {_place(first)}: {first['detail']}{others}")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.build", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, required=True, help="the .safetensors checkpoint that embeds")
    parser.add_argument(
        "--data",
        type=given_path,
        required=True,
        help="a manifest, a folder with a manifest.csv or of images, or an image",
    )
    parser.add_argument(
        "--data-dir", type=given_path, required=True, help="the gallery's folder: the service's SANET_DATA_DIR"
    )
    parser.add_argument(
        "--identity-from-folder", action="store_true", help="of images: the folder that each lies in is its identity"
    )
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only lines that say so; repeatable"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision", choices=PRECISION_CHOICES, default="auto", help="as the service's SANET_PRECISION (default auto)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _fail(error: object) -> int:
    _say(error)
    return 1


def _say(text: object) -> None:
    sys.stderr.write(f"index.build: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
