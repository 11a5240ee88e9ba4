"""Finds every damage in a gallery, and mends what can be mended.

    python -m index.verify --data-dir DIR [--repair] [--json]

Reads every record and every image file and compares them with their checksums, and the database, the trash and the
snapshot of the index besides. It changes nothing, and a service may have the gallery open meanwhile.

With --repair, which needs the service stopped: SQLite's indexes and a database with broken pages are rebuilt; damaged
records are rebuilt where the database keeps a second copy of what is damaged, else written to DIR/damaged and taken
out; images are taken back from the trash, and damaged files moved to DIR/damaged; a damaged snapshot is removed, and
made anew by the service. What it cannot mend is named, to be enrolled again: the same file and box restore it.

Exit code 0: sound. 1: damage was found (repaired or not), or it was stopped. 2: wrong arguments.
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from index.command_parser import CommandParser
from index.embedded.data_folder import owned
from index.embedded.gallery_check import FolderFindings, check_folder
from index.embedded.gallery_repair import FolderRepair, repair_folder
from index.gallery.errors import GalleryError
from index.gallery.verification import named_records
from index.gallery_folder import gallery_folder
from index.named_lines import named_lines
from index.phase_bar import phase_bar
from index.stop_signal import stop_signal


def main() -> int:
    """The command: 0 if the gallery is sound, 1 if damage was found, 2 for wrong arguments."""
    args = _parser().parse_args()
    try:
        with stop_signal() as stop_asked, owned(args.data_dir) if args.repair else nullcontext():
            found, repair = _verify(args, stop_asked)
    except (GalleryError, OSError) as error:
        _say(error)
        return 1
    except KeyboardInterrupt:  # the second Ctrl-C
        _say("stopped")
        return 1
    result = _result(args.data_dir, found, repair)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _text(args.data_dir, found, repair))
    return 0 if found.sound and not found.gallery.stopped else 1


def _verify(args: argparse.Namespace, stop_asked: Callable[[], bool]) -> tuple[FolderFindings, FolderRepair | None]:
    with phase_bar(quiet=args.quiet) as progress:
        found = check_folder(args.data_dir, progress, stop_asked)
    if not args.repair or found.gallery.stopped:
        return found, None
    return found, repair_folder(args.data_dir, found)


def _result(data_dir: Path, found: FolderFindings, repair: FolderRepair | None) -> dict[str, Any]:
    gallery = found.gallery
    damage: dict[str, list[Any]] = {
        "database": found.database_problems,
        "records": [
            {"seq": one.seq, "id": one.id, "source": one.source, "problem": one.problem, "image": one.image}
            for one in gallery.damaged_records
        ],
        "images": [
            {
                "content": one.content,
                "problem": one.problem,
                "in_trash": one.in_trash,
                "records": [{"id": id_, "source": source} for id_, source in one.records],
            }
            for one in gallery.lost_images
        ],
        "stray_images": gallery.damaged_strays,
        "trash": list(map(str, found.trash)),
        "snapshot": found.snapshot,
    }
    result = {
        "data_dir": str(data_dir),
        "sound": found.sound,
        "stopped": gallery.stopped,
        "records": gallery.num_records,
        "images": gallery.num_images,
        "num_damaged": found.num_damaged,
        "damage": damage,
        "stray_images": len(gallery.strays),
        "unfinished_images": len(found.unfinished),
        "foreign_files": list(map(str, found.foreign)),
        "other_generations": list(map(str, found.other_generations)),
        "repaired": None,
    }
    if repair is not None:
        again = [{"id": id_, "source": source} for id_, source in repair.enrol_again]
        result["repaired"] = {"done": repair.done, "enrol_again": again, "unreadable": repair.unreadable}
    return result


def _text(data_dir: Path, found: FolderFindings, repair: FolderRepair | None) -> str:
    gallery = found.gallery
    lines = [f"{data_dir}: {gallery.num_records} records and {gallery.num_images} image files read"]
    lines += named_lines("the database", found.database_problems)
    lines += named_lines("damaged record", list(map(str, gallery.damaged_records)))
    lines += named_lines("image", list(map(str, gallery.lost_images)))
    lines += named_lines("damaged image without a record", gallery.damaged_strays)
    lines += named_lines("damaged file in the trash", list(map(str, found.trash)))
    lines += named_lines("the snapshot", found.snapshot)
    notes = {
        "image files have no record and are kept": len(gallery.strays),
        "unfinished image files, of a crash or of an enrolment under way": len(found.unfinished),
        "files in the folder of images are not the gallery's": len(found.foreign),
    }
    lines += [f"note: {number} {what}" for what, number in notes.items() if number]
    if found.other_generations:
        names = ", ".join(map(str, found.other_generations))
        lines.append(f"note: {names} does not serve: a job reembed goes on with it, or the service removes it")
    if repair is not None:
        lines += named_lines("repaired", repair.done)
        if repair.unreadable:
            lines.append(f"not repaired: {repair.unreadable}")
        lines += named_lines("enrol again", [named_records([one]) for one in repair.enrol_again])
    if gallery.stopped:
        lines.append("stopped: what would have been found later is not known")
    elif found.sound:
        lines.append("sound")
    elif repair is None:
        lines.append("damaged: stop the service and run this with --repair, or restore a backup")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m index.verify", description=__doc__)
    parser.add_argument("--data-dir", type=gallery_folder, required=True, help="the gallery's folder: SANET_DATA_DIR")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended; the service must be stopped")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _say(text: object) -> None:
    sys.stderr.write(f"index.verify: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
