"""A whole gallery as Parquet files and images, and back.

    python -m index.parquet export --data-dir DIR --out EXPORT [--compression zstd|none] [--json]
    python -m index.parquet import --from EXPORT --data-dir DIR [--json]

export works while a service has the gallery open, and writes it as it is at one moment: EXPORT/records-00000.parquet
and so on, with every field, embedding and checksum of every record, and EXPORT/images. pyarrow, pandas and DuckDB read
them without this program. EXPORT is new or empty, and appears when it is complete.

import needs the service stopped. It takes everything into a new or an existing gallery, in the order of enrolment, each
record as it was, of whichever model, with its times. What is there already is a duplicate and stays as it is. Every
checksum is compared. Ctrl-C keeps what is done; the same command goes on.

Exit code 0: everything. 1: not everything, and what is missing is named. 2: wrong arguments.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from index.command_parser import CommandParser
from index.embedded.backup.parquet_folder import export_folder, import_folder
from index.embedded.backup.staged_folder import is_free
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery.parquet_export import CONTENTS
from index.gallery.parquet_import import ImportOutcome
from index.gallery.verification import Progress
from index.gallery_folder import gallery_folder
from index.named_lines import named_lines
from index.phase_bar import phase_bar
from index.stop_signal import stop_signal
from model.given_path import given_path


def main() -> int:
    """The command: 0 if everything was exported or imported, 1 if not, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    if args.command == "export" and not is_free(args.out):
        parser.error(f"{args.out} is not empty: name another folder with --out")
    try:
        with stop_signal() as stop_asked, phase_bar(quiet=args.quiet) as progress:
            run = _export if args.command == "export" else _import
            result, is_whole = run(args, progress, stop_asked)
    except GalleryFullError:
        return _fail("the disk is full; free space, and run it again")
    except (GalleryError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:  # the second Ctrl-C
        return _fail("stopped")
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 0 if is_whole else 1


def _export(
    args: argparse.Namespace, progress: Progress, stop_asked: Callable[[], bool]
) -> tuple[dict[str, Any], bool]:
    outcome = export_folder(args.data_dir, args.out, args.compression, progress, stop_asked)
    return {"out": str(args.out), **outcome.to_dict()}, outcome.is_whole


def _import(
    args: argparse.Namespace, progress: Progress, stop_asked: Callable[[], bool]
) -> tuple[dict[str, Any], bool]:
    outcome = import_folder(args.source, args.data_dir, progress, stop_asked)
    is_whole = not (outcome.damaged_records or outcome.lost_images or outcome.stopped)
    return _import_result(args.data_dir, outcome), is_whole


def _import_result(data_dir: Path, outcome: ImportOutcome) -> dict[str, Any]:
    return {
        "data_dir": str(data_dir),
        "records": outcome.num_records,
        "imported": outcome.imported,
        "duplicates": outcome.duplicates,
        "differing": outcome.differing,
        "damaged_records": outcome.damaged_records,
        "lost_images": [{"content": content, "problem": problem} for content, problem in outcome.lost_images.items()],
        "stopped": outcome.stopped,
    }


def _text(result: dict[str, Any]) -> str:
    if "out" in result:
        lines = [f"{result['out']}: {result['records']} records and {result['images']} images"]
    else:
        lines = [f"{result['data_dir']}: {result['imported']} imported, {result['duplicates']} there already"]
        if result["differing"]:
            lines.append(f"note: {result['differing']} were there with other fields or embeddings, which stayed")
        if result["stopped"]:
            lines.append("stopped; the same command goes on")
    lost = [f"the record {id_} is damaged" for id_ in result["damaged_records"]]
    lost += [one["problem"] for one in result["lost_images"]]
    lines += named_lines("left out", lost)
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.parquet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=CommandParser)
    export = commands.add_parser("export", description=__doc__, help="a gallery as Parquet and images")
    export.add_argument("--data-dir", type=gallery_folder, required=True, help="the gallery's folder: SANET_DATA_DIR")
    export.add_argument("--out", type=given_path, required=True, help="a new or an empty folder")
    export.add_argument("--compression", choices=["zstd", "none"], default="zstd", help="of the Parquet files")
    import_ = commands.add_parser("import", description=__doc__, help="Parquet and images into a gallery")
    import_.add_argument("--from", dest="source", type=_export_folder, required=True, help="what export wrote")
    import_.add_argument("--data-dir", type=given_path, required=True, help="a new or an existing gallery's folder")
    for command in (export, import_):
        command.add_argument("--quiet", action="store_true", help="no progress bar")
        command.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _export_folder(text: str) -> Path:
    folder = given_path(text)
    if not (folder / CONTENTS).is_file():
        raise argparse.ArgumentTypeError(f"there is no export in {text!r}: it has no {CONTENTS}")
    return folder


def _fail(error: object) -> int:
    sys.stderr.write(f"index.parquet: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
