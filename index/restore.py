"""Makes a new gallery out of a backup.

    python -m index.restore --backup BACKUP --data-dir DIR [--partial] [--json]

Every byte is compared with its checksum. DIR is a new or an empty folder, and no service has it open; it appears when
it is complete, so that a restore that fails, is stopped or killed leaves no gallery behind. A service may run meanwhile
in another folder. The index's snapshot is no part of a backup: the service makes it anew.

Exit code 0: everything was restored. 1: nothing, or with --partial not everything, and what is missing is named. 2:
wrong arguments.
"""

import argparse
import json
import sys
from pathlib import Path

from index.command_parser import CommandParser
from index.embedded.backup.backup_folder import Backup, NotABackupError
from index.embedded.backup.restoring import restore
from index.gallery.errors import GalleryError, GalleryFullError
from index.named_lines import named_lines
from index.phase_bar import phase_bar
from index.stop_signal import stop_signal
from model.given_path import given_path


def main() -> int:
    """The command: 0 if everything was restored, 1 if not, 2 for wrong arguments."""
    args = _parser().parse_args()
    try:
        with stop_signal() as stop_asked, phase_bar(quiet=args.quiet) as progress:
            outcome = restore(
                args.backup, args.data_dir, partial=args.partial, progress=progress, stop_asked=stop_asked
            )
    except GalleryFullError:
        return _fail(f"there is no room for {args.data_dir}: nothing was restored")
    except (GalleryError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:  # the second Ctrl-C
        return _fail("stopped; nothing was restored")
    backup, lost = outcome.backup, outcome.lost_images
    result = {
        "backup": str(args.backup),
        "data_dir": str(args.data_dir),
        "created_at": backup.created_at,
        "records": backup.num_records,
        "images": backup.num_images - len(lost),
        "lost_images": [{"content": content, "problem": what} for content, what in lost.items()],
    }
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return 1 if lost else 0
    sys.stdout.write(
        f"{args.data_dir}: {result['records']} records and {result['images']} images of {backup.created_at}\n"
    )
    for line in named_lines("not restored", list(lost.values())):
        sys.stdout.write(f"{line}\n")
    return 1 if lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.restore", description=__doc__)
    parser.add_argument("--backup", type=_backup, required=True, help="what python -m index.backup wrote")
    parser.add_argument("--data-dir", type=given_path, required=True, help="a new folder: then SANET_DATA_DIR")
    parser.add_argument("--partial", action="store_true", help="restore what there is where images are damaged")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _backup(text: str) -> Path:
    folder = given_path(text)
    try:
        Backup.read(folder)
    except NotABackupError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except GalleryError:
        pass  # a damaged one is no wrong argument
    return folder


def _fail(error: object) -> int:
    sys.stderr.write(f"index.restore: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
