"""The experiment: SANet beside its baseline and its ablations, several seeds, the same data, augmentation and epochs.

    python -m benchmarks.experiment --data UAV_SYNTH --out RUNS [--seeds 0,1,2] [--arms baseline,sanet_m2,..]
        [--global-epochs 28 --spatial-epochs 20] [--jobs 1] [--json] [-- FLAG OF training.train ..]

Every arm trains `--global-epochs` + `--spatial-epochs` epochs. SANet does it in two runs: first the global branch alone
(M = 0), with the heading in front; then all branches, each layer4 started from the global one. Its variants of one seed
share the first run. Runs that are there already are gone on with, or only read; a run that fails is reported as failed.
What stands after ``--`` goes to every run, whatever its arm. Figures are of the test split.
"""

import argparse
import json
import platform
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from index.command_parser import CommandParser
from model.cores import usable_cores
from model.given_path import given_path
from model.number import whole_number
from training.arguments import at_least_one, seed


@dataclass(frozen=True)
class Arm:
    """One line of the table: what is trained, as flags of ``training.train``.

    Attributes:
        root: the flags of the first run, which is shared by arms with the same; none for an arm of one run.
    """

    flags: tuple[str, ...]
    root: tuple[str, ...] = ()


_ALIGNED: Final = ("--recipe", "sanet")
_UNALIGNED: Final = ("--recipe", "sanet", "--transform", "none", "--aligned", "map")
ARMS: Final = {
    "baseline": Arm(("--recipe", "baseline")),
    "sanet_m2": Arm((*_ALIGNED, "--num-parts", "2"), _ALIGNED),
    "unaligned_m2": Arm((*_UNALIGNED, "--num-parts", "2"), _UNALIGNED),
    "sanet_m4": Arm((*_ALIGNED, "--num-parts", "4"), _ALIGNED),
    "sanet_m6": Arm((*_ALIGNED, "--num-parts", "6"), _ALIGNED),
}


class RunFailedError(RuntimeError):
    """A program of the experiment ended with an error; the message says which, how, and with what arguments."""


def run(module: str, *arguments: str) -> dict[str, Any]:
    """One of this project's programs, as a process of its own; what it prints as JSON."""
    command = [sys.executable, "-m", module, *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RunFailedError(f"{module} ended with {done.returncode}: {' '.join(arguments)}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


_LOCKS: Final = defaultdict[Path, threading.Lock](threading.Lock)


def train(data: Path, folder: Path, seed: int, epochs: int, flags: Sequence[str]) -> Path:
    """A run in its folder, gone on with if it was begun; its best checkpoint. Who wants the same run waits for it."""
    finished = folder / "finished.json"
    with _LOCKS[folder]:
        if finished.exists():
            return folder / "best.safetensors"
        begun = (
            ("--resume",) if (folder / "run.json").exists() else (*flags, "--seed", str(seed), "--epochs", str(epochs))
        )
        result = run("training.train", "--data", str(data), "--out", str(folder), *begun)
        finished.write_text(json.dumps(result), "utf-8")
    return folder / "best.safetensors"


def measure(data: Path, folder: Path, checkpoint: Path) -> dict[str, Any]:
    """The figures of a checkpoint on the test split, computed once."""
    figures = folder / "test.json"
    if not figures.exists():
        result = run("training.evaluate", "--checkpoint", str(checkpoint), "--data", str(data), "--split", "test")
        figures.write_text(json.dumps(result), "utf-8")
    measured: dict[str, Any] = json.loads(figures.read_text("utf-8"))
    return measured


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(map(seed, text.split(",")))


def kept_figures(measured: dict[str, Any]) -> dict[str, Any]:
    """What of `training.evaluate`'s answer a table has."""
    return {
        "cmc": measured["cmc"],
        "map": measured["map"],
        "cmc1_interval": measured["intervals"]["cmc1"],
        "map_interval": measured["intervals"]["map"],
        # Figures that were stored before identities were drawn anew have narrower intervals.
        "intervals_over": measured.get("intervals_over", "queries"),
        "model": measured["model"],
    }


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.experiment", description=__doc__)
    parser.add_argument("--data", type=given_path, required=True, help="UAV-Synth")
    parser.add_argument("--out", type=given_path, required=True, help="the folder of all runs")
    parser.add_argument("--seeds", type=_seeds, default=(0, 1, 2), metavar="N,N,...")
    parser.add_argument("--arms", default=",".join(ARMS), help="of " + ", ".join(ARMS))
    parser.add_argument("--global-epochs", type=whole_number, default=28)
    parser.add_argument("--spatial-epochs", type=whole_number, default=20)
    parser.add_argument("--jobs", type=at_least_one, default=1, help="runs at the same time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("flags", nargs="*", metavar="FLAG", help="of training.train, for every run; after --")
    args = parser.parse_args()
    names = args.arms.split(",")
    unknown = sorted(set(names) - ARMS.keys())
    if unknown:
        parser.error(f"there is no arm {', '.join(unknown)}: choose of {', '.join(ARMS)}")
    wanted = [(name, number) for number in args.seeds for name in names]

    def one(name: str, seed: int) -> dict[str, Any]:
        return {"arm": name, "seed": seed} | _one(args, ARMS[name], args.out / f"{name}-{seed}", seed)

    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(tqdm(pool.map(one, *zip(*wanted, strict=True)), "arms", len(wanted)))
    machine = {"machine": platform.machine(), "cores": usable_cores(), "python": platform.python_version()}
    result = {"headline": _headline(rows), "rows": rows, "machine": machine}
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")
    return 0


def _one(args: argparse.Namespace, arm: Arm, folder: Path, seed: int) -> dict[str, Any]:
    """One arm with one seed: its figures, or why there are none."""
    flags, epochs = (*arm.flags, *args.flags), args.spatial_epochs
    try:
        if arm.root:
            kind = "aligned" if arm.root == _ALIGNED else "unaligned"
            root = train(
                args.data,
                folder.parent / f"global_{kind}-{seed}",
                seed,
                args.global_epochs,
                (*arm.root, *args.flags, "--num-parts", "0"),
            )
            flags = (*flags, "--trunk-weights", str(root))
        else:
            epochs += args.global_epochs
        measured = measure(args.data, folder, train(args.data, folder, seed, epochs, flags))
    except RunFailedError as error:
        return {"failed": str(error)}
    return kept_figures(measured)


def _headline(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean CMC-1 of each arm over its seeds, with the lowest and the highest."""
    headline = {}
    for name in dict.fromkeys(row["arm"] for row in rows):
        found = [row["cmc"]["1"] for row in rows if row["arm"] == name and "cmc" in row]
        if found:
            headline[name] = {"cmc1_mean": sum(found) / len(found), "cmc1_range": [min(found), max(found)]}
    return headline


if __name__ == "__main__":
    sys.exit(main())
