"""The paper's Table II: every method that it compares, under one trainer, protocol and budget, several seeds.

    python -m benchmarks.table2 --data UAV_SYNTH --out RUNS --setting gpu|two_cores [--methods ram,sanet,..]
        [--seeds 0,1] [--jobs 1] [--page FILE.md] [--json] [-- FLAG OF training.train ..]
    python -m benchmarks.table2 --data UAV_SYNTH --out RUNS --quick

A setting (`benchmarks.table2.settings`) fixes what is the same for all: backbone, image size, batches, epochs, training
identities, seeds. Losses, augmentation and learning rate are each recipe's own. Runs that are there already are gone
on with, or only read; a run that fails is reported as failed. Figures are of the test split, with intervals over
identities; images a second are measured one method after the other when all have been trained. What stands after ``--``
goes to every run, such as ``--trunk-weights FILE`` where nothing can be downloaded.
"""

import argparse
import json
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import torch
from tqdm import tqdm

from benchmarks.experiment import RunFailedError, kept_figures, measure, train
from benchmarks.table2.cost import measure_cost
from benchmarks.table2.data import with_fewer_identities
from benchmarks.table2.page import summarize, table
from benchmarks.table2.settings import METHODS, SETTINGS, Setting
from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from model.cores import usable_cores
from model.embedder import pick_device
from model.given_path import given_path
from training.arguments import at_least_one, seed

_NUM_TIMED: Final = 20
_NUM_TIMED_QUICKLY: Final = 1


def main() -> int:
    """The command: 0 with a table, 1 if there can be none, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m benchmarks.table2", description=__doc__)
    parser.add_argument("--data", type=given_path, required=True, help="UAV-Synth, or a manifest with a split test")
    parser.add_argument("--out", type=given_path, required=True, help="the folder of all runs")
    parser.add_argument("--setting", choices=sorted(SETTINGS), help="; ".join(_said_of_settings()))
    parser.add_argument("--methods", type=_names, default=tuple(METHODS), help="of " + ", ".join(METHODS))
    parser.add_argument("--seeds", type=_seeds, metavar="N,N,...", help="instead of the setting's")
    parser.add_argument("--jobs", type=at_least_one, default=1, help="runs at the same time")
    parser.add_argument("--page", type=given_path, help="writes the table into this file")
    parser.add_argument("--quick", action="store_true", help="the setting quick: whether it runs at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("flags", nargs="*", metavar="FLAG", help="of training.train, for every run; after --")
    args = parser.parse_args()
    if (args.setting is None) != args.quick:
        parser.error("give --setting or --quick, and not both")
    if unknown := sorted(set(args.methods) - METHODS.keys()):
        parser.error(f"there is no method {', '.join(unknown)}: choose of {', '.join(METHODS)}")
    name = "quick" if args.quick else args.setting
    setting = SETTINGS[name]
    try:
        rows = _rows(args, setting, args.out / name)
    except (ManifestError, ProtocolError, OSError) as error:
        sys.stderr.write(f"benchmarks.table2: {error}\n")
        return 1
    summaries = summarize(rows)
    if args.page is not None:
        args.page.write_text(_page(name, setting, summaries), "utf-8")
    machine = {
        "machine": platform.machine(),
        "cores": usable_cores(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    result = {"headline": summaries, "rows": rows, "machine": machine}
    sys.stdout.write((json.dumps(result) if args.json else table(summaries)) + "\n")
    return 0 if summaries else 1


def _rows(args: argparse.Namespace, setting: Setting, out: Path) -> list[dict[str, Any]]:
    """A row for each method and seed: its figures and what its network costs, or why there are none."""
    out.mkdir(parents=True, exist_ok=True)
    data = args.data
    if setting.num_identities is not None:
        data = with_fewer_identities(args.data, setting.num_identities, setting.num_tested, out / "data.csv")
    wanted = [(name, number) for number in args.seeds or setting.seeds for name in args.methods]

    def row_of(name: str, number: int) -> dict[str, Any]:
        return {"method": name, "seed": number} | _figures(data, setting, name, number, out, args.flags)

    with ThreadPoolExecutor(args.jobs) as pool:
        rows = list(tqdm(pool.map(row_of, *zip(*wanted, strict=True)), "runs", len(wanted), disable=None))
    # Not before all are trained: whoever trains beside it would slow it down.
    num_timed = _NUM_TIMED_QUICKLY if args.quick else _NUM_TIMED
    costs: dict[str, dict[str, Any]] = {}
    for row in rows:
        if "failed" in row:
            continue
        method = row["method"]
        if method not in costs:
            checkpoint = out / _folder(method, row["seed"]) / "best.safetensors"
            costs[method] = measure_cost(checkpoint, pick_device("auto"), num_timed)
        row["cost"] = costs[method]
    return rows


def _figures(data: Path, setting: Setting, name: str, number: int, out: Path, further: list[str]) -> dict[str, Any]:
    """Of one method with one seed."""
    folder = out / _folder(name, number)
    flags = ("--recipe", name, *setting.flags, *setting.of_method.get(name, ()), *further)
    try:
        measured = measure(data, folder, train(data, folder, number, setting.epochs, flags))
    except RunFailedError as error:
        return {"failed": str(error)}
    return kept_figures(measured)


def _folder(name: str, number: int) -> str:
    return f"{name}-{number}"


def _page(name: str, setting: Setting, summaries: dict[str, dict[str, Any]]) -> str:
    return (
        f"# Table II, setting `{name}`\n\n{setting.question[0].upper()}{setting.question[1:]}. Means over seeds; in "
        "brackets 95 % intervals over identities. Parameters, operations and speed (float32, batches of 32) are of the "
        f"network as it is served.\n\n    python -m benchmarks.table2 --data UAV_SYNTH --out RUNS --setting {name}\n\n"
        + table(summaries)
    )


def _said_of_settings() -> list[str]:
    return [f"{name}: {setting.question}" for name, setting in SETTINGS.items()]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(map(seed, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
