"""Retrieval of real vehicles, as they are and turned: methods beside each other, with intervals over identities.

    python -m benchmarks.real_vehicles --frames DIR_OR_MANIFEST --checkpoint NAME=FILE [--checkpoint ..]
        [--trunk-weights FILE --stride 1x1 --bn-eps 1.001e-5] [--half development|final|all] [--quick] [--json]

`--frames` has a manifest (path, identity, and if they are known role, box, stationary). The identities are divided once
and for all, by a hash of their names, into two halves with a gallery and queries each: choose on the development half,
and report the final half once. Vehicles without a known identity play no part.

Rows: moving vehicles (stationary=0) and all; their boxes, the circles around them, and circles whose queries are
turned, because most real vehicles come back with the heading they had. What is turned is turned three times by chance,
and the figures are the mean. Differences of CMC-1 are from the first --checkpoint, over the same draws of identities.
Of boxes it is also said how often query and match come out turned the same way, and how many are found where not.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from tqdm import tqdm

from benchmarks.heading_agreement import heading_agreement
from benchmarks.synthetic import TrunkFeatures
from benchmarks.vehicle_circles import cut_circles
from index.command_parser import CommandParser
from index.datasets.bulk_embedding import EmbedBatch, EmbeddedEntries, embed_entries
from index.datasets.manifest import Entry, Manifest, ManifestError, read_manifest
from index.datasets.protocol import ProtocolError
from index.datasets.task import Task, plan_task
from index.ranking.bootstrap import interval, resampled_means
from index.ranking.evaluation import Evaluation, evaluate_embedded
from model.box import BoxError
from model.checkpoint import CheckpointError, load_checkpoint
from model.config import ConfigError, Stride
from model.cores import usable_cores
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from model.number import decimal_number
from model.preprocessing import Preprocessing
from model.pretrained import PretrainedError
from training.datasets.halves import Half, half_of

_BOXES: Final = "boxes"
_TURNED: Final = "circles, queries turned"
_TRUNK: Final = "ImageNet trunk"

_FAILURES: Final = (
    ManifestError, ProtocolError, CheckpointError, PretrainedError, ImageError, BoxError, EmbeddingError, OSError
)  # fmt: skip


class Method(NamedTuple):
    """Something that embeds vehicles."""

    name: str
    preprocessing: Preprocessing
    embed_batch: EmbedBatch


class Case(NamedTuple):
    """A block of the table: which vehicles are looked for, how they are shown, and the task of that."""

    vehicles: str
    view: str
    task: Task


def known_vehicles(manifest: Manifest, half: Half | Literal["all"]) -> Manifest:
    """The queries and gallery images of the half's identities; roles are given here where the manifest has none.

    Its warnings are what a reader of any figure has to know.

    Raises:
        ManifestError, ProtocolError: there is no query that could be answered.
    """
    kept = manifest.keep(lambda entry: entry.identity != "" and half in ("all", half_of(entry.identity)))
    if not kept.entries:
        raise ManifestError(f"{manifest.folder} has no vehicle with a known identity in the half {half!r}")
    task = plan_task(kept)
    # What the task left out does not come back, so that all cases have the same vehicles.
    protocol = replace(manifest.protocol, num_draws=0)
    return Manifest(manifest.folder, task.queries + task.gallery, protocol, task.warnings)


def plan_cases(vehicles: Manifest, out: Path, *, quick: bool = False) -> tuple[list[Case], list[str]]:
    """The blocks of the table, and what a reader has to know of them, such as why some are missing.

    Args:
        vehicles: queries and gallery, each with an identity.
        out: a new folder for circles.
        quick: only the moving vehicles, where it is known which do.

    Raises:
        ProtocolError: no block can be measured.
    """
    notes = list(vehicles.warnings)
    vehicles = replace(vehicles, warnings=())
    circles = cut_circles(vehicles, out)
    if missing := len(vehicles.entries) - len(circles.as_they_are.entries):
        notes.append(
            f"circles: {missing} of {len(vehicles.entries)} images have none, without a box or with a circle that "
            "leaves the frame"
        )
    views = {_BOXES: (vehicles,), "circles": (circles.as_they_are,), _TURNED: circles.queries_turned}
    kinds: dict[str, Callable[[Entry], bool]] = {"moving": _is_moving, "all": lambda _: True}
    if not any(map(_is_moving, vehicles.entries)):
        del kinds["moving"]
    elif quick:
        del kinds["all"]
    cases = []
    for kind, condition in kinds.items():
        for view, draws in views.items():
            shown = [draw.keep(condition) for draw in draws]
            if not shown[0].entries:
                notes.append(f"{kind}, {view}: left out, no image of these vehicles has a circle")
                continue
            try:
                first, *further = map(plan_task, shown)
            except ProtocolError as error:
                notes.append(f"{kind}, {view}: left out, {error}")
                continue
            cases.append(Case(kind, view, replace(first, further_draws=tuple(further))))
    if not cases:
        raise ProtocolError(f"nothing can be measured: {'; '.join(notes)}")
    return cases, notes


class Scored(NamedTuple):
    """What one method came to in one case; how its headings agree is asked of boxes alone, as they are."""

    evaluation: Evaluation
    agreement: dict[str, dict[str, float | None]] | None


def score(cases: Sequence[Case], method: Method) -> list[Scored]:
    """Each case scored; every view of every vehicle is embedded once."""
    # Boxes lie in the frames' folder and circles in theirs, where the same path is another image.
    images: dict[Path, dict[object, Entry]] = defaultdict(dict)
    for case in cases:
        images[case.task.manifest.folder].update({entry.key: entry for entry in case.task.entries})
    embedded: dict[Path, EmbeddedEntries] = {}
    with tqdm(total=sum(map(len, images.values())), desc=method.name, unit="img") as bar:
        for folder, entries in images.items():
            manifest = next(case.task.manifest for case in cases if case.task.manifest.folder == folder)
            embedded[folder] = embed_entries(
                manifest, list(entries.values()), method.preprocessing, method.embed_batch, bar.update
            )
    scored = []
    for case in cases:
        folder = case.task.manifest.folder
        row_of = {key: row for row, key in enumerate(images[folder])}
        rows = [row_of[entry.key] for entry in case.task.entries]
        of_folder = embedded[folder]
        of_case = EmbeddedEntries(
            of_folder.embedding[rows], of_folder.theta[rows], [of_folder.content[row] for row in rows]
        )
        evaluation = evaluate_embedded(case.task, of_case)
        asked = case.view == _BOXES
        agreement = heading_agreement(case.task, of_case.theta, evaluation.scores.first_rank) if asked else None
        scored.append(Scored(evaluation, agreement))
    return scored


def figures(case: Case, method: str, evaluation: Evaluation) -> dict[str, Any]:
    """A row of the table."""
    scores, identities = evaluation.scores, evaluation.query_identities
    cmc5 = interval(resampled_means((scores.first_rank <= 5)[:, None], identities)[:, 0])
    return {
        "vehicles": case.vehicles,
        "view": case.view,
        "method": method,
        "cmc1": evaluation.cmc(1),
        "cmc1_interval": list(evaluation.intervals["cmc1"]),
        "cmc5": evaluation.cmc(5),
        "cmc5_interval": list(cmc5),
        "map": evaluation.map,
        "map_interval": list(evaluation.intervals["map"]),
        "num_queries": len(case.task.queries),
        "num_identities": len(set(identities)),
        "num_gallery": len(case.task.gallery),
        "num_turns": len(case.task.further_draws) + 1 if case.view == _TURNED else 0,
    }


def differences(case: Case, evaluations: dict[str, Evaluation]) -> list[dict[str, Any]]:
    """How far each method's CMC-1 is above the first method's; its interval lies above 0 where it surely is.

    The same draws of identities for both: what makes a vehicle hard for every method does not widen the interval.
    """
    first, *others = evaluations
    identities = evaluations[first].query_identities
    hits = np.stack([found.scores.first_rank == 1 for found in evaluations.values()], axis=1)
    means = resampled_means(hits, identities)
    return [
        {
            "vehicles": case.vehicles,
            "view": case.view,
            "method": method,
            "above": first,
            "cmc1_difference": evaluations[method].cmc(1) - evaluations[first].cmc(1),
            "interval": list(interval(means[:, column] - means[:, 0])),
        }
        for column, method in enumerate(others, 1)
    ]


def measure(vehicles: Manifest, methods: Sequence[Method], *, quick: bool = False) -> dict[str, Any]:
    """All rows, all differences from the first method, and the notes."""
    with tempfile.TemporaryDirectory() as temporary:
        cases, notes = plan_cases(vehicles, Path(temporary) / "circles", quick=quick)
        scored = {method.name: score(cases, method) for method in methods}
    rows: list[dict[str, Any]] = []
    above_first: list[dict[str, Any]] = []
    agreements: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        evaluations = {name: of_cases[number].evaluation for name, of_cases in scored.items()}
        for name, of_cases in scored.items():
            if (agreement := of_cases[number].agreement) is not None:
                agreements.append({"vehicles": case.vehicles, "method": name, **agreement})
        rows += [figures(case, name, evaluation) for name, evaluation in evaluations.items()]
        above_first += differences(case, evaluations)
        # They are of the data, the same for every method.
        warnings = evaluations[methods[0].name].warnings
        notes += [f"{case.vehicles}, {case.view}: {text}" for text in warnings if text not in vehicles.warnings]
    kind = rows[0]["vehicles"]
    cmc1 = {(row["view"], row["method"]): row["cmc1"] for row in rows if row["vehicles"] == kind}
    headline: dict[str, Any] = {"vehicles": kind}
    for key, view in (("boxes_cmc1", _BOXES), ("turned_cmc1", _TURNED)):
        headline[key] = {method.name: cmc1[view, method.name] for method in methods if (view, method.name) in cmc1}
    return {
        "headline": headline,
        "rows": rows,
        "differences": above_first,
        "agreements": agreements,
        "notes": notes,
    }


def main() -> int:
    """The command: 0 with figures, 1 if there can be none, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    names = [name for name, _ in args.checkpoint] + ([_TRUNK] if args.trunk_weights else [])
    if len(set(names)) < len(names):
        parser.error(f"argument --checkpoint: each method needs a name of its own, got {', '.join(names)}")
    if not names:
        parser.error("name a method: --checkpoint NAME=FILE or --trunk-weights FILE")
    try:
        vehicles = known_vehicles(read_manifest(args.frames), args.half)
        methods = [_method(name, file) for name, file in args.checkpoint]
        if args.trunk_weights:
            trunk = TrunkFeatures(args.trunk_weights, args.stride, args.bn_eps)
            methods.append(Method(_TRUNK, Preprocessing(), trunk))
        measured = measure(vehicles, methods, quick=args.quick)
    except ConfigError as error:
        parser.error(str(error))
    except _FAILURES as error:
        sys.stderr.write(f"benchmarks.real_vehicles: {error}\n")
        return 1
    machine = {"machine": platform.machine(), "cores": usable_cores(), "python": platform.python_version()}
    result = measured | {"half": args.half, "intervals_over": "identities", "machine": machine}
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _table(result))
    return 0


def _is_moving(entry: Entry) -> bool:
    return entry.further.get("stationary") == "0"


def _method(name: str, file: Path) -> Method:
    checkpoint = load_checkpoint(file)
    return Method(name, checkpoint.card.preprocessing, Embedder(checkpoint, pick_device("auto")).embed_prepared)


def _named_file(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {text!r}")
    return name, given_path(file)


def _table(result: dict[str, Any]) -> str:
    lines = [f"half {result['half']}; CMC and mAP in %, 95 % intervals over identities"]
    width = max(len(row["method"]) for row in result["rows"])
    for row in result["rows"]:
        cells = [f"{name} {_percent(row[name.lower()], row[f'{name.lower()}_interval'])}" for name in _FIGURES]
        size = f"{row['num_queries']} queries of {row['num_identities']} identities, gallery {row['num_gallery']}"
        turns = f", {row['num_turns']} turns" if row["num_turns"] else ""
        lines.append(f"{row['vehicles']:7}{row['view']:25}{row['method']:{width}}  {'  '.join(cells)}  ({size}{turns})")
    for row in result["differences"]:
        points = _percent(row["cmc1_difference"], row["interval"], sign="+")
        lines.append(f"{row['vehicles']:7}{row['view']:25}{row['method']} above {row['above']}: CMC1 {points}")
    for row in result["agreements"]:
        parts = (
            f"{name} {100 * row[name]['share']:.1f}"
            + ("" if row[name]["cmc1"] is None else f" (CMC1 {100 * row[name]['cmc1']:.1f})")
            for name in ("same", "opposite", "other")
        )
        lines.append(f"{row['vehicles']:7}{row['method']:{width}}  turned as its match: {', '.join(parts)}")
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])]) + "\n"


_FIGURES: Final = ("CMC1", "CMC5", "mAP")


def _percent(value: float, ends: Sequence[float], sign: str = "") -> str:
    return f"{100 * value:{sign}.1f} [{100 * ends[0]:{sign}.1f}, {100 * ends[1]:{sign}.1f}]"


def _parser() -> CommandParser:
    parser = CommandParser(prog="python -m benchmarks.real_vehicles", description=__doc__)
    parser.add_argument("--frames", type=given_path, required=True, help="a manifest, or a folder that has one")
    parser.add_argument(
        "--checkpoint", type=_named_file, action="append", default=[], metavar="NAME=FILE", help="a method; repeatable"
    )
    parser.add_argument("--trunk-weights", help="weights of a ResNet-50's trunk, as a method that saw no vehicle")
    parser.add_argument("--stride", choices=get_args(Stride), default="3x3", help='"1x1" for ResNet-v1 weights')
    parser.add_argument(
        "--bn-eps", type=decimal_number, default=1e-5, help="BatchNorm epsilon of the weights (Keras 1.001e-5)"
    )
    parser.add_argument(
        "--half", choices=[*get_args(Half), "all"], default="development", help="of the identities [%(default)s]"
    )
    parser.add_argument("--quick", action="store_true", help="moving vehicles only, under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
