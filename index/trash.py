"""Removes the image files of deleted records for good.

    python -m index.trash --data-dir DIR --older-than-days N [--json]

A deleted record's image waits in the gallery's folder `trash`, so that a restored backup finds it again. This removes
what has waited there for N days or more (0: all of it), but nothing that a record names and lacks: that goes back.
"""

import argparse
import json
import sys
from contextlib import closing
from datetime import timedelta

from index.command_parser import CommandParser
from index.embedded.opening import open_gallery
from index.gallery.errors import GalleryError
from index.gallery.record import ModelKey
from index.gallery_folder import gallery_folder
from model.number import whole_number

# No record is of this model: nothing has to be loaded to empty the trash.
_NO_MODEL = ModelKey("", "")


def main() -> int:
    """The command: 0 when done, 1 if the gallery cannot be opened, 2 for wrong arguments."""
    args = _parser().parse_args()
    try:
        with closing(open_gallery(args.data_dir, _NO_MODEL, 1)) as gallery:
            num_removed = gallery.empty_trash(timedelta(days=args.older_than_days))
    except GalleryError as error:
        sys.stderr.write(f"index.trash: {error}\n")
        return 1
    text = json.dumps({"removed": num_removed}) if args.json else f"{args.data_dir}: {num_removed} image files removed"
    sys.stdout.write(text + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.trash", description=__doc__)
    parser.add_argument("--data-dir", type=gallery_folder, required=True, help="the gallery's folder: SANET_DATA_DIR")
    parser.add_argument("--older-than-days", type=_days, required=True, help="0 or more; to the day, in UTC")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _days(text: str) -> int:
    days = whole_number(text)
    if not 0 <= days <= 1_000_000:
        raise argparse.ArgumentTypeError(f"a number of days from 0 to 1,000,000 was expected, not {days}")
    return days


if __name__ == "__main__":
    sys.exit(main())
