"""Reads the field's data sets: says what is there, and writes manifests.

    python -m training.datasets describe --data FOLDER [--dataset NAME] [--json]
    python -m training.datasets convert --data FOLDER --out MANIFEST.csv [--dataset NAME] [--seed S] [--vru-roles ROLES]
        [--half development|final] [--train-on FURTHER ..]

describe counts images, identities and cameras per split and role, beside what was published; with --check it fails
where they differ. It names queries and vehicles that nothing can be matched with, and says what a training would learn
from and validate on.

convert writes a manifest and its protocol sidecar; random splits are drawn from --seed, kept in the manifest and named
by a hash that depends on the split alone, not on where the files lie. --half keeps half of the identities, and no line
without one: a half to choose by, and one to report once. All identities of FURTHER data are for training, whatever they
are there for.
"""

import argparse
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from index.command_parser import CommandParser
from index.datasets.manifest import Entry, Manifest, ManifestError, Role, read_manifest, write_manifest
from index.datasets.protocol import ProtocolError
from index.datasets.repeats import without_repeats
from model.given_path import given_path
from training.arguments import seed
from training.datasets.dataset import Choices, VruRoles
from training.datasets.description import count, trained_on, unmatchable
from training.datasets.halves import Half, half_of
from training.datasets.opening import KINDS, detect, open_data
from training.datasets.registry import DATASETS


def main() -> int:
    """The command: 0 when done, 1 if the folder is not what it should be, 2 for wrong arguments."""
    args = _parser().parse_args()
    choices = Choices(args.seed, args.vru_roles)
    try:
        kind = detect(args.data) if args.dataset == "auto" else args.dataset
        manifest = open_data(args.data, kind, choices)
        if args.command == "describe":
            return _describe(kind, manifest, args)
        further = [open_data(data, detect(data), choices) for data in args.train_on]
        for warning in (warning for each in (manifest, *further) for warning in each.warnings):
            sys.stderr.write(f"training.datasets: warning: {warning}\n")
        if args.half is not None:
            manifest = manifest.keep(lambda entry: bool(entry.identity) and half_of(entry.identity) == args.half)
            if not manifest.entries:
                raise ManifestError(f"no identity of {args.data} lies in the half {args.half}: nothing is written")
        return _convert(manifest, further, args)
    except (ManifestError, ProtocolError, OSError) as error:
        sys.stderr.write(f"training.datasets: {error}\n")
        return 1


def _describe(kind: str, manifest: Manifest, args: argparse.Namespace) -> int:
    rows = count(manifest, DATASETS[kind].published if kind in DATASETS else {})
    differing = [row for row in rows if _differs(row)]
    # All lines are counted, as their authors did; what a training or an evaluation leaves out is a warning.
    once = without_repeats(manifest)
    warnings = [*once.warnings, *unmatchable(once)]
    use = trained_on(manifest)
    for warning in warnings:
        sys.stderr.write(f"training.datasets: warning: {warning}\n")
    if args.json:
        protocol = json.loads(manifest.protocol.to_json())
        result = {"dataset": kind, "rows": rows, "protocol": protocol, "training": use, "warnings": warnings}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write(f"{kind}\n{'split':12}{'role':12}{'images':>20}{'identities':>20}{'cameras':>9}\n")
        for row in rows:
            images = _beside(row["num_images"], row["published_images"])
            identities = _beside(row["num_identities"], row["published_identities"])
            sys.stdout.write(
                f"{row['split']:12}{row['role'] or 'all':12}{images:>20}{identities:>20}{row['num_cameras']:>9}\n"
            )
        sys.stdout.write("in brackets what was published, where it differs\n" if differing else "")
        sys.stdout.write(f"training: {use}\n")
    checked = any(row["published_images"] is not None or row["published_identities"] is not None for row in rows)
    if args.check and not checked:
        raise ManifestError(f"there is nothing published to check {kind} against")
    return 1 if args.check and differing else 0


def _differs(row: dict[str, Any]) -> bool:
    pairs = ((row["num_images"], row["published_images"]), (row["num_identities"], row["published_identities"]))
    return any(said is not None and found != said for found, said in pairs)


def _beside(found: int, said: int | None) -> str:
    return f"{found:,}" if said in (None, found) else f"{found:,} [{said:,}]"


def _convert(manifest: Manifest, further: list[Manifest], args: argparse.Namespace) -> int:
    if args.out.suffix != ".csv":
        raise ManifestError(f"a manifest is called something.csv, and its sidecar .json; got {args.out}")
    _require_apart(manifest, further)
    entries = _moved(manifest, args.out)
    # Where no image has a role, the split alone says what is for training.
    role: Role | None = "train" if manifest.count("role").keys() - {None, ""} else None
    for entry in (entry for other in further for entry in _moved(other, args.out) if entry.identity):
        columns = {name: value for name, value in entry.further.items() if name != "draws"}
        entries.append(replace(entry, role=role, split="train", further=columns))
    write_manifest(args.out, entries, manifest.protocol)
    read_manifest(args.out)
    sha256 = _split_hash([manifest, *further])
    result = {"manifest": str(args.out), "num_images": len(entries), "sha256": sha256}
    text = json.dumps(result) if args.json else f"{args.out}: {len(entries)} images, SHA-256 {sha256}"
    sys.stdout.write(text + "\n")
    return 0


def _split_hash(manifests: list[Manifest]) -> str:
    """SHA-256 of who has which role in which split and draw, and of the protocol; wherever the files lie."""
    lines = [
        [e.path, e.identity, e.camera, e.role, e.split, str(e.box), e.further.get("draws")]
        for manifest in manifests
        for e in manifest.entries
    ]
    return hashlib.sha256(json.dumps([lines, manifests[0].protocol.to_json()]).encode()).hexdigest()


def _moved(manifest: Manifest, out: Path) -> list[Entry]:
    """The entries, with their paths from where the manifest is written."""
    start = Path(os.path.relpath(manifest.folder.resolve(), out.resolve().parent))
    return [replace(entry, path=(start / entry.path).as_posix()) for entry in manifest.entries]


def _require_apart(manifest: Manifest, further: list[Manifest]) -> None:
    """An identity of two data sets would be trained on and asked for, or two vehicles taken for one."""
    known = {entry.identity for entry in manifest.entries} - {""}
    for other in further:
        names = {entry.identity for entry in other.entries} - {""}
        if shared := sorted(known & names):
            raise ManifestError(f"{other.folder} has identities that are there already, such as {shared[0]}")
        known |= names


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m training.datasets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    describe = commands.add_parser("describe", help="counts what is there")
    describe.add_argument("--check", action="store_true", help="exit code 1 where it is not what was published")
    convert = commands.add_parser("convert", help="writes a manifest")
    convert.add_argument("--out", type=given_path, required=True, help="the manifest to write (.csv)")
    convert.add_argument(
        "--train-on",
        type=given_path,
        nargs="+",
        default=[],
        metavar="FURTHER",
        help="data sets whose identities only train",
    )
    convert.add_argument(
        "--half", choices=get_args(Half), help="only the identities of one half, by a hash of their names"
    )
    for command in (describe, convert):
        command.add_argument("--data", type=given_path, required=True, help="the data set's folder, or a manifest")
        command.add_argument("--dataset", choices=["auto", *KINDS], default="auto", help="what lies there")
        command.add_argument("--seed", type=seed, default=0, help="of random splits")
        command.add_argument("--vru-roles", choices=get_args(VruRoles), default="official", help="VRU's held-out image")
        command.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
