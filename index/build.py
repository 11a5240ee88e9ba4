"""Builds a gallery from a manifest, without a service: its vehicles are there when the service starts.

    python -m index.build --checkpoint FILE --data MANIFEST --data-dir DIR [--where split=test] [--json]

Everything is enrolled but queries and junk, with identity, camera, captured_at, latitude and longitude. The ids are
those of POST /gallery, so that what is there already is a duplicate and is not embedded again. Interrupted, the same
command goes on. What cannot be enrolled is named, and the rest is.
"""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from index.bulk_enrolment import Outcome, enrol_entries, enrollable
from index.embedded_gallery import EmbeddedGallery
from index.gallery import GalleryError
from index.manifest import Manifest, ManifestError, read_manifest
from index.protocol import ProtocolError
from index.record import ModelKey
from model.checkpoint import CheckpointError, load_checkpoint
from model.embedder import Embedder, EmbeddingError, Precision, pick_device


def main() -> int:
    """The command: 0 if everything is in the gallery, 1 if something is not, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        result = _build(args, read_manifest(args.data).where(args.where))
    except ValueError as error:
        if isinstance(error, ManifestError | ProtocolError | CheckpointError):
            return _fail(error)
        parser.error(str(error))
    except (GalleryError, EmbeddingError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on")
    for rejected in result["rejections"]:
        at_box = f" at {rejected['box']}" if rejected["box"] else ""
        _fail(f"{rejected['path']}{at_box}: {rejected['detail']}")
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 1 if result["rejected"] else 0


def _build(args: argparse.Namespace, manifest: Manifest) -> dict[str, Any]:
    entries = enrollable(manifest)
    if not entries:
        raise ManifestError(f"{args.data} has queries and junk only: a gallery is built from all other roles")
    checkpoint = load_checkpoint(args.checkpoint)
    card, device = checkpoint.card, pick_device(args.device)
    model = ModelKey(card.fingerprint, args.precision)
    with closing(EmbeddedGallery(args.data_dir, model, card.config.embedding_dim)) as gallery:
        embedder = Embedder(checkpoint, device, args.precision)
        with tqdm(total=len(entries), unit="vehicle", disable=args.quiet) as bar:
            outcome = enrol_entries(
                manifest, entries, gallery, model, card.preprocessing, embedder.embed_prepared, bar.update
            )
        return _result(args.data_dir, model, outcome, gallery.num_searchable)


def _result(data_dir: Path, model: ModelKey, outcome: Outcome, num_records: int) -> dict[str, Any]:
    rejections = [
        {"path": entry.path, "box": None if entry.box is None else str(entry.box), "detail": detail}
        for entry, detail in outcome.rejected
    ]
    return {
        "data_dir": str(data_dir),
        "model": model.fingerprint,
        "precision": model.precision,
        "enrolled": outcome.enrolled,
        "duplicates": outcome.duplicates,
        "differing": outcome.differing,
        "rejected": len(rejections),
        "rejections": rejections,
        "searchable": num_records,
    }


def _text(result: dict[str, Any]) -> str:
    text = (
        f"{result['data_dir']}: {result['enrolled']} enrolled, {result['duplicates']} there already, "
        f"{result['rejected']} rejected; {result['searchable']} can be found"
    )
    if result["differing"]:
        text += f"\nnote: {result['differing']} were there with other fields than the manifest's, which stayed"
    return text + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m index.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="the .safetensors checkpoint that embeds")
    parser.add_argument("--data", type=Path, required=True, help="a manifest, or the folder of a manifest.csv")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="the gallery's folder: the service's SANET_DATA_DIR"
    )
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only lines that say so; repeatable"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="float32", help="as the service's SANET_PRECISION"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _fail(error: object) -> int:
    sys.stderr.write(f"index.build: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
