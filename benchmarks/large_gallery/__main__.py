"""What a gallery of a million records costs: enrolment, opening, memory, a deletion, and many clients at once.

    python -m benchmarks.large_gallery --data-dir DIR [--rows 1000000] [--minutes 5] [--quick] [--json]

Embeddings are drawn from a model fitted to real ones (`benchmarks/embedding_model.py`), 64 vehicles to a frame; DIR
takes about 24 kB a record, stays, and is used again by the next run. Everything goes through the gallery as the service
uses it, without HTTP and without the network.

Enrolment is 64 records at a time. Opening is measured after the system was asked to forget the files, beside reading
them once. 20 clients search and 2 write as fast as they are answered.
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.embedding_model import EmbeddingModel
from benchmarks.large_gallery.clients import measure_clients
from benchmarks.large_gallery.costs import fill, measure_deletions, measure_opening, resident_bytes
from benchmarks.large_gallery.drawn_records import MODEL
from benchmarks.search import embed
from benchmarks.watched_lock import watched_locks
from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from model.checkpoint import CheckpointError
from model.given_path import given_path
from model.image import ImageError
from training.arguments import at_least_one

_DEMO: Final = Path(__file__).resolve().parents[2] / "demo"


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All of it; JSON values."""
    embeddings, identities = embed(args.data, args.checkpoint, args.embeddings)
    model = EmbeddingModel(embeddings, identities.tolist())
    dim = embeddings.shape[1]
    del embeddings
    result: dict[str, Any] = {"num_rows": args.rows, "dim": dim, **_filled(args, model, dim)}
    result |= measure_opening(args.data_dir, dim, args.rounds)
    with watched_locks() as waits:
        before = resident_bytes()
        with closing(open_gallery(args.data_dir, MODEL, dim)) as gallery:
            result["memory_to_vectors"] = (resident_bytes() - before) / (4 * dim * gallery.num_searchable)
            result |= measure_deletions(gallery, args.rows)
            result |= measure_clients(gallery, model, waits, args.minutes)
    return result


def _filled(args: argparse.Namespace, model: EmbeddingModel, dim: int) -> dict[str, Any]:
    """Of a gallery that nothing refers to afterwards: its memory would count as the next one's."""
    with closing(open_gallery(args.data_dir, MODEL, dim)) as gallery:
        return fill(gallery, model, args.rows)


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    if args.quick:
        args.rows, args.minutes = 10_000, 0.1
    try:
        result = measure(args)
    except (ManifestError, ProtocolError, CheckpointError, ImageError, GalleryError, OSError) as error:
        print(f"benchmarks.large_gallery: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=None if args.json else 2))
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m benchmarks.large_gallery", description=__doc__)
    parser.add_argument(
        "--data-dir", type=given_path, required=True, help="the gallery's folder, new or of a run before"
    )
    parser.add_argument("--rows", type=at_least_one, default=1_000_000, help="records (default 1,000,000)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of clients (default 5)")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="of opening (default 3)")
    parser.add_argument("--data", type=given_path, default=_DEMO, help="whose crops the model is fitted to")
    parser.add_argument("--checkpoint", type=given_path, default=_DEMO / "sanet.safetensors", help="with what")
    parser.add_argument("--embeddings", type=given_path, help="a .npz file that keeps their embeddings")
    parser.add_argument("--quick", action="store_true", help="10,000 records, seconds of clients")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
