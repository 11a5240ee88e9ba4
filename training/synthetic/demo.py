"""Picks the demo set out of UAV-Synth: vehicles of the split ``test``, each with its gallery image and some queries.

    python -m training.synthetic.demo --data uav-synth --out demo [--identities 150] [--queries 2] [--seed 0]

Writes ``images/<identity>/`` (the files byte for byte), ``manifest.csv`` and ``manifest.json`` into a folder that has
none of them. The same data and numbers give the same set.
"""

import json
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from index.command_parser import CommandParser
from index.datasets.manifest import Entry, Manifest, ManifestError, read_manifest, write_manifest
from index.datasets.protocol import Protocol, ProtocolError
from model.given_path import given_path
from training.arguments import at_least_one, seed


def pick(manifest: Manifest, num_identities: int, num_queries: int, seed: int) -> list[Entry]:
    """The entries of the demo set, in the manifest's order.

    Raises:
        ManifestError: the split ``test`` has not as many identities with one gallery image and enough queries.
    """
    of_role: dict[str, dict[str, list[Entry]]] = {"gallery": defaultdict(list), "query": defaultdict(list)}
    for entry in manifest.entries:
        if entry.split == "test" and entry.role in of_role:
            of_role[entry.role][entry.identity].append(entry)
    gallery, queries = of_role["gallery"], of_role["query"]
    usable = sorted(i for i, images in gallery.items() if len(images) == 1 and len(queries[i]) >= num_queries)
    if len(usable) < num_identities:
        raise ManifestError(
            f"the split 'test' has {len(usable)} identities with one gallery image and {num_queries} queries or more, "
            f"and {num_identities} were asked for: draw a larger UAV-Synth, or ask for fewer"
        )
    rng = np.random.default_rng(seed)
    wanted: set[object] = set()
    for identity in rng.choice(usable, num_identities, replace=False):
        drawn = rng.choice(len(queries[identity]), num_queries, replace=False)
        wanted |= {entry.key for entry in gallery[identity] + [queries[identity][i] for i in drawn]}
    return [entry for entry in manifest.entries if entry.key in wanted]


def write_demo(manifest: Manifest, out: Path, num_identities: int, num_queries: int, seed: int) -> list[Entry]:
    """Writes the set and returns its entries; the manifest, which makes it one, last.

    Raises:
        ManifestError: as `pick`, or the folder has such files already.
        OSError: an image is missing.
    """
    picked = pick(manifest, num_identities, num_queries, seed)
    entries = [replace(entry, path=f"images/{entry.identity}/{Path(entry.path).name}") for entry in picked]
    there = [str(out / name) for name in ("images", "manifest.csv", "manifest.json") if (out / name).exists()]
    if there:
        raise ManifestError(f"{' and '.join(there)} is there already: remove it, or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix="unfinished.") as folder:
        for source, entry in zip(picked, entries, strict=True):
            target = Path(folder, entry.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(manifest.path_of(source), target)
        Path(folder, "images").rename(out / "images")
    info = {
        "taken_from": {"dataset": manifest.protocol.dataset, "split": "test", **manifest.protocol.info},
        "num_identities": num_identities,
        "queries_per_identity": num_queries,
        "seed": seed,
    }
    write_manifest(out / "manifest.csv", entries, Protocol("uav-synth-demo", gallery_per_identity=1, info=info))
    return entries


def main() -> int:
    """The command: 0 when written, 1 if it cannot be, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m training.synthetic.demo", description=__doc__)
    parser.add_argument("--data", type=given_path, required=True, help="the folder of UAV-Synth")
    parser.add_argument("--out", type=given_path, required=True, help="the folder to write to")
    parser.add_argument("--identities", type=at_least_one, default=150, help="vehicles (default 150)")
    parser.add_argument("--queries", type=at_least_one, default=2, help="of each vehicle (default 2)")
    parser.add_argument("--seed", type=seed, default=0, help="of the draw (default 0)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    args = parser.parse_args()
    try:
        entries = write_demo(read_manifest(args.data), args.out, args.identities, args.queries, args.seed)
    except (ManifestError, ProtocolError, OSError) as error:
        sys.stderr.write(f"training.synthetic.demo: {error}\n")
        return 1
    num_bytes = sum((args.out / entry.path).stat().st_size for entry in entries)
    result = {"manifest": str(args.out / "manifest.csv"), "num_images": len(entries), "size_bytes": num_bytes}
    text = f"{result['manifest']}: {len(entries)} images of {args.identities} vehicles, {num_bytes / 1e6:.1f} MB"
    sys.stdout.write((json.dumps(result) if args.json else text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
