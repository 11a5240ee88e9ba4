"""Makes and ends the keys that clients of the service need, also while it runs, which knows within a second or two.

    python -m service.keys create --name NAME --scope read|enrol|admin [--expires TIME] [--rate 600/minute]
    python -m service.keys list
    python -m service.keys revoke KEY
    python -m service.keys rotate KEY

Each with [--data-dir DIR] (else SANET_DATA_DIR, else .data) and [--json]. Where SANET_DATABASE names a database, the
keys are in it. KEY is an id or a name. read: queries,
listings, images, metrics. enrol: also enrols, changes, deletes single records and takes that back. admin: everything.

A key is shown once, when it is made: only a SHA-256 of its secret is kept. `rotate` gives a key another secret, and the
old one ends at once; to change it without a gap, create a second key and revoke the first once no client has it.

Exit code 0: done. 1: not, or done without an entry in the audit log, and it says why. 2: wrong arguments.
"""

import argparse
import json
import os
import re
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from index.command_parser import CommandParser
from index.gallery.fields import FieldsError, read_name, read_time
from model.given_path import given_path
from service.access.errors import KeyStoreError
from service.access.key import Key, Secret
from service.access.key_store import KeyStore
from service.access.rate import RATE
from service.access.scope import KEY_SCOPES
from service.audit.audit_store import DATABASE, AuditStore, AuditStoreError
from service.audit.entry import Entry
from service.settings import SettingsError, database_of_environment

_MAX_NAME = 100


def main() -> int:
    """The command."""
    args = _parser().parse_args()
    try:
        with KeyStore.opened(args.data_dir, database_of_environment()) as store:
            return _COMMANDS[args.command](store, args)
    except (KeyStoreError, AuditStoreError, SettingsError) as error:
        sys.stderr.write(f"service.keys: {error}\n")
        return 1


def _create(store: KeyStore, args: argparse.Namespace) -> int:
    key, secret = store.create(args.name, KEY_SCOPES[args.scope], expires_at=args.expires, rate=args.rate)
    _show_secret(key, secret, args)
    _record("key.create", key, args)
    return 0


def _list(store: KeyStore, args: argparse.Namespace) -> int:
    keys = [_described(key) for key in store.all()]
    if args.json:
        sys.stdout.write(json.dumps({"keys": keys}) + "\n")
        return 0
    for key in keys:
        further = [f"rate {key['rate']}"] if key["rate"] else []
        further += [f"expires {key['expires_at']}"] if key["expires_at"] else []
        sys.stdout.write(f"{key['id']}  {key['state']:8}{key['scope']:6}  {'  '.join([key['name'], *further])}\n")
    if not keys:
        sys.stdout.write(f"there is no key in {store.place}\n")
    return 0


def _revoke(store: KeyStore, args: argparse.Namespace) -> int:
    key = store.revoke(args.key)
    described = _described(key)
    sys.stdout.write(json.dumps(described) + "\n" if args.json else f"the key {key.id} ({key.name}) is revoked\n")
    _record("key.revoke", key, args)
    return 0


def _rotate(store: KeyStore, args: argparse.Namespace) -> int:
    key, secret = store.rotate(args.key)
    _show_secret(key, secret, args)
    _record("key.rotate", key, args)
    return 0


_COMMANDS = {"create": _create, "list": _list, "revoke": _revoke, "rotate": _rotate}


def _show_secret(key: Key, secret: Secret, args: argparse.Namespace) -> None:
    if args.json:
        sys.stdout.write(json.dumps({**_described(key), "key": str(secret)}) + "\n")
    else:
        sys.stdout.write(f"{secret}\n")
        sys.stderr.write("this is the only time that the key is shown: keep it where secrets are kept\n")


def _described(key: Key) -> dict[str, Any]:
    def text(time: datetime | None) -> str | None:
        return None if time is None else time.isoformat(timespec="seconds").replace("+00:00", "Z")

    state = "revoked" if key.revoked_at else "valid" if key.is_valid(datetime.now(UTC)) else "expired"
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope.label,
        "state": state,
        "rate": key.rate,
        "created_at": text(key.created_at),
        "expires_at": text(key.expires_at),
        "revoked_at": text(key.revoked_at),
    }


def _record(action: str, key: Key, args: argparse.Namespace) -> None:
    """Says in the audit log that the key was changed.

    Raises:
        AuditStoreError: it cannot be said; the key was changed all the same.
    """
    described = _described(key)
    facts = {name: described[name] for name in ("id", "name", "scope", "rate", "expires_at")}
    try:
        with closing(AuditStore(args.data_dir / DATABASE, database_of_environment())) as audit:
            audit.append([Entry(action, "command", facts=facts)])
    except AuditStoreError as error:
        raise AuditStoreError(
            f"{action} was done to the key {key.id} ({key.name}), but it is not in the audit log: {error}"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m service.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="create|list|revoke|rotate")
    create = commands.add_parser("create", help="makes a key, and shows it once")
    create.add_argument("--name", type=_name, required=True, help="whose it is; the audit log has it")
    create.add_argument("--scope", choices=KEY_SCOPES, required=True, help="what it may do")
    create.add_argument("--expires", type=_time, metavar="TIME", help="when it ends, such as 2027-01-01T00:00:00Z")
    create.add_argument("--rate", type=_rate, help="its requests, in place of SANET_RATE_LIMIT: 600/minute")
    rotate = commands.add_parser("rotate", help="gives a key another secret, and shows it once")
    revoke = commands.add_parser("revoke", help="ends a key")
    for command in (rotate, revoke):
        command.add_argument("key", metavar="KEY", help="its id or its name")
    for command in (create, commands.add_parser("list", help="shows all keys there ever were"), revoke, rotate):
        data_dir = Path(os.environ.get("SANET_DATA_DIR") or ".data")
        command.add_argument("--data-dir", type=given_path, default=data_dir, help="the folder of the gallery")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _name(text: str) -> str:
    try:
        return read_name(text, _MAX_NAME)
    except FieldsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _time(text: str) -> datetime:
    try:
        time = read_time(text)
    except FieldsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if time <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"a time to come was expected, not {text}")
    return time


def _rate(text: str) -> str:
    if not re.fullmatch(RATE, text):
        raise argparse.ArgumentTypeError(f"600/minute, or per second, hour or day, was expected, not {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
