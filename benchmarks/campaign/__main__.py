"""The GPU campaign: packs its data, runs the arms that are still to be run, and keeps the table of all of them.

    python -m benchmarks.campaign pack --drawn UAV_SYNTH --more UAV_SYNTH_2 --real REAL_DEVELOPMENT.csv --out DIR
    python -m benchmarks.campaign run --pack DIR --state docs/results/campaign.json --out OUT --minutes 9
    python -m benchmarks.campaign report --out OUT --state docs/results/campaign.json --page docs/results/campaign.md

`pack` and `report` run where the data is, `run` where the GPU is. Each run goes on with the first arm that the state
does not hold, as long as there is time for one more; `report` takes its results into the state, writes the page, and
puts together the checkpoint that came back in pieces. Every arm is a plain `training.train`, scored on UAV-Synth's test
split and, at every validation, on real vehicles of the development half.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.campaign.arms import ARMS, HEADING, Arm
from benchmarks.campaign.packing import pack, unpack
from benchmarks.campaign.page import SPEED, write_page
from benchmarks.campaign.pieces import join_file, split_file
from benchmarks.experiment import RunFailedError, run
from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError, read_manifest
from model.box import BoxError
from model.checkpoint import CheckpointError, load_checkpoint
from model.given_path import given_path
from model.image import ImageError
from training.arguments import at_least_one

_EXPECTED_S = 75.0  # of an arm, before one has been timed
_REAL, _DRAWN, _MORE = "real.zip", "drawn.zip", "more.zip"
_RESULTS, _QUICK_RESULTS = "results.json", "quick.json"
_FAILURES = (ManifestError, ImageError, BoxError, CheckpointError, RunFailedError, OSError)


def main() -> int:
    """The command: 0 when done, 1 if it failed, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m benchmarks.campaign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="where the data is")
    packing.add_argument("--drawn", type=given_path, required=True, help="UAV-Synth, whole")
    packing.add_argument("--more", type=given_path, required=True, help="UAV-Synth 2, or other data that only trains")
    packing.add_argument("--real", type=given_path, required=True, help="a manifest of real vehicles to choose by")
    packing.add_argument("--size-px", type=at_least_one, default=128)
    packing.add_argument("--out", type=given_path, required=True)
    running = commands.add_parser("run", help="where the GPU is")
    running.add_argument("--pack", type=given_path, required=True)
    running.add_argument("--state", type=given_path, required=True)
    running.add_argument("--out", type=given_path, required=True)
    running.add_argument("--minutes", type=float, default=9.0, help="no arm is begun that would end later")
    running.add_argument(
        "--arms", type=lambda text: text.split(","), default=[], help="only these, such as lite0,resnet18; run again"
    )
    running.add_argument("--quick", action="store_true", help="two steps of each: whether it runs at all")
    reporting = commands.add_parser("report", help="back home")
    reporting.add_argument("--out", type=given_path, required=True, help="what the run wrote")
    reporting.add_argument("--state", type=given_path, required=True)
    reporting.add_argument("--page", type=given_path, required=True)
    args = parser.parse_args()
    if args.command == "run" and (unknown := sorted(set(args.arms) - {arm.name for arm in ARMS})):
        parser.error(f"there is no arm {', '.join(unknown)}: choose of {', '.join(arm.name for arm in ARMS)}")
    try:
        {"pack": _pack, "run": _run, "report": _report}[args.command](args)
    except _FAILURES as error:
        sys.stderr.write(f"benchmarks.campaign: {error}\n")
        return 1
    return 0


def _pack(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    for source, name in ((args.drawn, _DRAWN), (args.more, _MORE), (args.real, _REAL)):
        manifest = read_manifest(source)
        pack(manifest, [entry for entry in manifest.entries if entry.identity], args.out / name, args.size_px)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    sys.stdout.write(f"{args.out}: {size / 2**20:.1f} MiB\n")


def _run(args: argparse.Namespace) -> None:
    end_s = time.monotonic() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}

    def keep(name: str, result: Any) -> None:
        """At once: the machine may be taken away in the middle of the next arm."""
        results[name] = result
        sys.stdout.write(f"{name}: {json.dumps(result)}\n")
        sys.stdout.flush()
        (args.out / (_QUICK_RESULTS if args.quick else _RESULTS)).write_text(json.dumps(results, indent=1), "utf-8")

    work = args.out.parent / "campaign-work"
    data = _unpacked(args.pack, work)
    # A quick run's heading is of two steps: nobody else may find it.
    runs = work / ("quick" if args.quick else "runs")
    done = _read_state(args.state)
    wanted = [arm for arm in ARMS if (arm.name in args.arms if args.arms else arm.name not in done)]
    if SPEED not in done and not args.arms:
        keep(SPEED, _speed(quick=args.quick))
    expected_s = 1.0 if args.quick else _EXPECTED_S
    heading = runs / "heading"
    if any(arm.shares_heading for arm in wanted):
        _learn_heading(data["more"], heading, quick=args.quick)
    for arm in wanted:
        if time.monotonic() + expected_s > end_s:
            break
        start_s = time.monotonic()
        try:
            result = _train(arm, data, heading / "last.safetensors", runs / arm.name, args.out, quick=args.quick)
        except (RunFailedError, subprocess.SubprocessError) as error:
            result = {"failed": str(error)[-2000:]}
        seconds = time.monotonic() - start_s
        expected_s = 1.0 if args.quick else max(expected_s, seconds)
        keep(arm.name, result | {"seconds": round(seconds, 1)})


def _speed(*, quick: bool) -> list[dict[str, Any]]:
    """Training steps beside their floors: the recipes that the arms train, and the paper's."""
    rows = []
    for batch, recipes in ((512, ("sanet_cpu", "sanet")), (128, ("sanet_paper", "baseline_paper"))):
        names = [flag for name in recipes for flag in ("--recipe", name)]
        flags = [*names, "--batch", str(batch), *(["--quick"] if quick else [])]
        try:
            rows += run("benchmarks.training", *flags)["rows"][: len(recipes)]
        except RunFailedError as error:
            rows.append({"failed": str(error)[-2000:]})
    return rows


def _unpacked(pack_folder: Path, work: Path) -> dict[str, Path]:
    """The manifests by name; ``more`` is the drawn data with the further training vehicles."""
    manifests = {name.removesuffix(".zip"): work / name.removesuffix(".zip") for name in (_DRAWN, _MORE, _REAL)}
    for name, folder in manifests.items():
        # The manifest is written last: without it the unpacking was interrupted.
        if not (folder / "manifest.csv").exists():
            unpack(pack_folder / f"{name}.zip", folder)
    both = work / "both.csv"
    if not both.exists():
        run_text = ["--data", str(manifests["drawn"]), "--train-on", str(manifests["more"]), "--out", str(both)]
        run("training.datasets", "convert", *run_text)
    return {"drawn": manifests["drawn"], "more": both, "real": manifests["real"]}


def _learn_heading(data: Path, folder: Path, *, quick: bool) -> None:
    """The run whose ``last.safetensors`` has the heading that the arms take over; once is enough."""
    if not (folder / "last.safetensors").exists():
        shutil.rmtree(folder, ignore_errors=True)
        flags = ("--heading-steps", "2") if quick else ()
        run("training.train", "--data", str(data), "--out", str(folder), *HEADING, *flags)


def _train(arm: Arm, data: dict[str, Path], heading: Path, folder: Path, out: Path, *, quick: bool) -> dict[str, Any]:
    """One arm: trained, halved, and scored on the test split; its curve on real vehicles comes with the log."""
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run, which a retry does not go on with
    flags = ["--heading", "labels", "--heading-weights", str(heading)] if arm.shares_heading else []
    flags += ["--epochs", "1", "--max-steps-per-epoch", "2", "--heading-steps", "2"] if quick else []
    trained = run(
        "training.train", "--data", str(data[arm.data]), "--out", str(folder), "--second-validation", str(data["real"]),
        *arm.flags, *flags,
    )  # fmt: skip
    halved = folder / f"{arm.name}.safetensors"
    run("training.halve", "--checkpoint", str(folder / "last.safetensors"), "--out", str(halved))
    test = run("training.evaluate", "--checkpoint", str(halved), "--data", str(data["drawn"]), "--split", "test")
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    curve = [[line["step"], line["cmc1"], line["cmc5"]] for line in log if line["event"] == "second_validation"]
    if arm.keeps:
        split_file(halved, out)
    return {
        "num_steps": trained["num_steps"],
        "test": {key: test[key] for key in ("cmc", "map", "intervals")},
        "real_development": curve,
        "model": test["model"],
    }


def _report(args: argparse.Namespace) -> None:
    results = args.out / _RESULTS
    if not results.exists():
        raise FileNotFoundError(f"{results} is missing: it comes with the first result of a run without --quick")
    state = _read_state(args.state)
    state |= json.loads(results.read_text("utf-8"))
    args.state.write_text(json.dumps(state, indent=1) + "\n", "utf-8")
    write_page(args.page, state)
    for arm in ARMS:
        if arm.keeps and any(args.out.glob(f"{arm.name}.safetensors.*")):
            whole = args.out / f"{arm.name}.safetensors"
            join_file(args.out, whole.name, whole)
            # Refuses one that lacks its last piece.
            found, expected = load_checkpoint(whole).card.fingerprint, state.get(arm.name, {}).get("model")
            if found != expected:
                raise CheckpointError(f"{whole} is the model {found}, the results are of {expected}")


def _read_state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return state


if __name__ == "__main__":
    sys.exit(main())
