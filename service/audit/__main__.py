"""Shows the audit log, the oldest entry first, also while the service runs.

    python -m service.audit [--data-dir DIR] [--since TIME] [--until TIME] [--key KEY] [--action ACTION] [--json]

DIR is else SANET_DATA_DIR, else .data; where SANET_DATABASE names a database, the log is in it. With --json each line
is one JSON object, to be kept elsewhere: whoever can write the files of this machine can also write this log.

Exit code 0: all of it was shown. 1: it cannot be read. 2: wrong arguments.
"""

import argparse
import json
import os
import sys
from datetime import datetime
from pathlib import Path

from index.command_parser import CommandParser
from index.gallery.fields import FieldsError, read_time
from model.given_path import given_path
from service.audit.audit_store import DATABASE, AuditStore, AuditStoreError, Search
from service.audit.entry import Entry
from service.settings import SettingsError, database_of_environment


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    path = args.data_dir / DATABASE
    try:
        database = database_of_environment()
        if database is None and not path.exists():
            sys.stderr.write(f"service.audit: there is no audit log in {args.data_dir}\n")
            return 1
        store = AuditStore(path, database)
        for entry in store.all(Search(args.key, args.action, args.since, args.until)):
            sys.stdout.write(json.dumps(entry.to_dict()) + "\n" if args.json else _line(entry))
        store.close()
        sys.stdout.flush()
    except (AuditStoreError, SettingsError) as error:
        sys.stderr.write(f"service.audit: {error}\n")
        return 1
    except BrokenPipeError:  # as of head
        os._exit(0)
    return 0


def _line(entry: Entry) -> str:
    at = entry.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    who = entry.caller if entry.key is None else f"{entry.caller} ({entry.key})"
    status = "begins" if entry.status is None else entry.status
    if entry.request_id is None:  # a command has no answer
        status = "done"
    return f"{at}  {entry.peer or '-'}  {who}  {entry.action}  {status}  {json.dumps(entry.facts)}\n"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m service.audit", description=__doc__)
    data_dir = Path(os.environ.get("SANET_DATA_DIR") or ".data")
    parser.add_argument("--data-dir", type=given_path, default=data_dir, help="the folder of the gallery")
    parser.add_argument("--since", type=_time, metavar="TIME", help="not what was before, such as 2026-05-01T00:00:00Z")
    parser.add_argument("--until", type=_time, metavar="TIME", help="only what was before")
    parser.add_argument("--key", help="only what this key did: its id or its name")
    parser.add_argument("--action", help="only this action, such as delete or refused")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _time(text: str) -> datetime:
    try:
        return read_time(text)
    except FieldsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
