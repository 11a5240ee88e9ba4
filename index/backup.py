"""Backs up a gallery, also while a service has it open.

    python -m index.backup --data-dir DIR --out BACKUP [--check] [--prune] [--json]

The backup is the gallery of one moment: its records, and the image files that they name. Into the same BACKUP again,
only what is new is copied; until the end it is the earlier one, and stays it if the command fails, is stopped or
killed. Images that only an earlier backup names stay, unless --prune removes them. --check reads all images that are
there already and replaces damaged ones. A gallery whose database is broken is not backed up over a sound backup.

Exit code 0: everything is in the backup. 1: not everything, and what is missing is named, or nothing at all. 2: wrong
arguments.
"""

import argparse
import json
import sys
from typing import Any

from index.command_parser import CommandParser
from index.embedded.backup.backing_up import back_up
from index.embedded.backup.backup_folder import accepts_backup
from index.gallery.errors import GalleryError, GalleryFullError
from index.gallery_folder import gallery_folder
from index.named_lines import named_lines
from index.phase_bar import phase_bar
from index.stop_signal import stop_signal
from model.given_path import given_path


def main() -> int:
    """The command: 0 if everything is in the backup, 1 if something is not, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    if not accepts_backup(args.out):
        parser.error(f"{args.out} is neither empty nor a backup: name another folder with --out")
    try:
        with stop_signal() as stop_asked, phase_bar(quiet=args.quiet) as progress:
            outcome = back_up(
                args.data_dir,
                args.out,
                check=args.check,
                prune=args.prune,
                progress=progress,
                stop_asked=stop_asked,
            )
    except GalleryFullError:
        return _fail(f"there is no room in {args.out}: free space, and run it again; an earlier backup is as it was")
    except (GalleryError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:  # the second Ctrl-C
        return _fail("stopped; an earlier backup is as it was")
    result = {"data_dir": str(args.data_dir), "out": str(args.out), **outcome.to_dict()}
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(result))
    return 0 if outcome.is_whole else 1


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['out']}: {result['records']} records and {result['images']} images of {result['created_at']} "
        f"({result['copied']} images copied, {result['kept']} there already, {result['pruned']} pruned)"
    ]
    damaged = [
        f"the record {one['id']} ({one['source'] or 'without source'}) is damaged in the gallery, and in the backup"
        for one in result["damaged_records"]
    ]
    damaged += [one["problem"] for one in result["lost_images"]]
    lines += named_lines("not backed up whole", damaged)
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.backup", description=__doc__)
    parser.add_argument("--data-dir", type=gallery_folder, required=True, help="the gallery's folder: SANET_DATA_DIR")
    parser.add_argument("--out", type=given_path, required=True, help="a new folder, or that of an earlier backup")
    parser.add_argument("--check", action="store_true", help="read what is there already, mend what is damaged")
    parser.add_argument("--prune", action="store_true", help="remove images that only earlier backups name")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _fail(error: object) -> int:
    sys.stderr.write(f"index.backup: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
