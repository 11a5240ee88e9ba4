"""Trains SANet, its baseline or a method that it is compared with, and writes a checkpoint that the service serves.

    python -m training.train --recipe NAME|FILE.toml --data DIR_OR_MANIFEST --out RUN [--seed S] [--<field> VALUE ...]
    python -m training.train --data DIR_OR_MANIFEST --out RUN --resume
    torchrun --nproc-per-node 4 -m training.train ...

RUN gets run.json (recipe, versions, seed, git state), recipe.toml (the whole recipe, for another run), log.jsonl and
tensorboard/, best.safetensors (of the best validation; without one, of the last step), last.safetensors and
state.safetensors (what --resume goes on from). Ctrl-C finishes the step under way and saves.

A recipe's FILE.toml holds fields of the recipe and, as base = "sanet", the name of the recipe that has the others.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch

from index.command_parser import CommandParser
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import Task, plan_task
from model.box import BoxError
from model.embedder import pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from model.number import decimal_number, whole_number
from model.pretrained import PretrainedError
from training import distributed
from training.annotations import Annotations, annotations_of, names_of_annotations
from training.arguments import add_data_arguments, at_least_one, not_negative, read_data, seed
from training.crops import MASK_COLUMN
from training.data import TrainingData, data_fingerprint, training_data
from training.datasets.opening import open_data
from training.loop import train
from training.memory import reuse_memory
from training.recipe import RECIPES, Recipe, RecipeError
from training.recipe_file import read_recipe
from training.run import BestBy, Habits, Run, StoppedError, TrainingError
from training.run_folder import RunFolder, RunFolderError
from training.run_state import Progress, RunStateError
from training.sampler import SamplerError

_FAILURES = (
    ManifestError, ProtocolError, RunFolderError, RunStateError, SamplerError, PretrainedError, TrainingError,
    ImageError, BoxError, EmbeddingError, OSError,
)  # fmt: skip


_NUMBERS: dict[Any, Callable[[str], float]] = {int: whole_number, float: decimal_number}


def main() -> int:
    """The command: 0 when trained, 1 if it failed or was stopped, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    reuse_memory()
    fields = [field.name for field in dataclasses.fields(Recipe)]
    given = {name: value for name in fields if (value := getattr(args, name)) is not None}
    folder = RunFolder(args.out)
    facts: dict[str, Any] = {
        "seed": args.seed or 0,
        "recipe_name": args.recipe and Path(args.recipe).name,
        "best_by": args.best_by or "validation",
    }
    try:
        if args.resume:
            recipe, facts = folder.read()
            facts.setdefault("best_by", "validation")  # runs of earlier versions do not say it
            _require_unchanged(parser, recipe, facts, given, args)
        elif args.recipe is None:
            parser.error("--recipe is required, unless a run is resumed")
        else:
            recipe = dataclasses.replace(_recipe_called(args.recipe), **given)
        if facts["best_by"] == "second_validation" and args.second_validation is None:
            parser.error("--best-by second_validation needs --second-validation DATA")
        device = _device(args.device)
        distributed.join(device)
        if recipe.num_identities % distributed.world_size():
            raise RecipeError(
                f"num_identities {recipe.num_identities} cannot be shared by {distributed.world_size()} processes"
            )
        manifest = read_data(args)
        data = training_data(manifest, recipe.validation)
        if facts.get("data_fingerprint") not in (None, data.fingerprint):
            raise RunFolderError(
                f"{args.data} is not the data of the run in {args.out}: its lines differ; put back what was deleted, "
                "added or renamed, or start another run"
            )
        origin = {
            "data": manifest.protocol.dataset,
            "data_fingerprint": data.fingerprint,
            "recipe_name": facts["recipe_name"],
        }
        annotations = annotations_of(data.entries, names_of_annotations(recipe))
        if annotations.classes:
            origin["annotations_fingerprint"] = annotations.fingerprint(data.entries)
        if facts.get("annotations_fingerprint") not in (None, origin.get("annotations_fingerprint")):
            names = ", ".join(names_of_annotations(recipe))
            raise RunFolderError(
                f"what {args.data} says of {names} is not what the run in {args.out} was started with: put back what "
                "was changed, or start another run"
            )
        second = None if args.second_validation is None else plan_task(open_data(args.second_validation))
        if second is not None:
            origin["second_validation_fingerprint"] = data_fingerprint((), second)
        if facts.get("second_validation_fingerprint") not in (None, origin.get("second_validation_fingerprint")):
            raise RunFolderError(
                f"--second-validation is not the data that the run in {args.out} was started with: give that again, "
                "or start another run"
            )
        if distributed.rank() == 0:
            _announce(data, second, recipe, annotations)
        run = Run(
            recipe,
            data,
            folder,
            facts["seed"],
            device,
            origin,
            Habits(args.log_every, args.save_every, args.memory_gb, show_progress=not args.quiet),
            second,
            facts["best_by"],
            args.leave_out_damaged,
        )
        progress = train(run, resume=args.resume)
    except KeyboardInterrupt:
        return _fail("stopped before the first step; nothing is lost")
    except StoppedError:
        begun = f"goes on from {folder.state}" if folder.has_results() else "starts it anew"
        return _fail(f"stopped; the same command with --resume {begun}")
    except RecipeError as error:
        parser.error(str(error))
    except _FAILURES as error:
        return _fail(str(error))
    else:
        if distributed.rank() == 0:
            _report(folder, progress, facts["best_by"], as_json=args.json)
        return 0
    finally:
        distributed.leave()


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m training.train", description=__doc__)
    parser.add_argument(
        "--recipe", type=_name_or_file, metavar="NAME|FILE.toml",
        help=f"what to train: {', '.join(sorted(RECIPES))}, or a file; every field of it is a flag below",
    )  # fmt: skip
    add_data_arguments(parser)
    parser.add_argument("--out", type=given_path, required=True, help="the folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--seed", type=seed, help="of weights, batches and augmentation (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--log-every", type=at_least_one, default=Habits.log_every, help="steps between two lines of the log"
    )
    parser.add_argument(
        "--save-every", type=not_negative, default=Habits.save_every_s, metavar="SECONDS",
        help="between two saved states; 0 saves after every epoch instead",
    )  # fmt: skip
    parser.add_argument(
        "--memory-gb", type=not_negative, default=Habits.memory_gb,
        help="for prepared images; if all fit, they are kept on the device",
    )  # fmt: skip
    parser.add_argument(
        "--second-validation", type=given_path, metavar="DIR_OR_MANIFEST",
        help="further data that every validation scores, such as real vehicles where the training's are drawn",
    )  # fmt: skip
    parser.add_argument(
        "--best-by", choices=get_args(BestBy), help="which validation picks the best epoch (default validation)"
    )
    parser.add_argument(
        "--leave-out-damaged", action="store_true", help="train without the images that cannot be used, and name them"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, as the last line")
    group = parser.add_argument_group("recipe", "fields that differ from the recipe's; in brackets sanet_paper's")
    for field in dataclasses.fields(Recipe):
        choices = get_args(field.type) or None
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            type=_NUMBERS.get(field.type, str),
            choices=choices,
            help=f"{field.metadata['help'].replace('%', '%%')} [{field.default}]",
        )
    return parser


def _name_or_file(text: str) -> str:
    if text not in RECIPES and Path(text).suffix.lower() != ".toml":
        names = ", ".join(sorted(RECIPES))
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {names}, or give a file *.toml)")
    return text


def _recipe_called(name_or_file: str) -> Recipe:
    return RECIPES[name_or_file]() if name_or_file in RECIPES else read_recipe(Path(name_or_file))


def _require_unchanged(
    parser: argparse.ArgumentParser,
    recipe: Recipe,
    facts: dict[str, Any],
    given: dict[str, Any],
    args: argparse.Namespace,
) -> None:
    """A resumed run keeps what it was started with."""
    if args.recipe is not None and args.recipe not in RECIPES:
        # A file is known by what it says, wherever it lies.
        given = dataclasses.asdict(_recipe_called(args.recipe)) | given
    changed = [name for name, value in given.items() if getattr(recipe, name) != value]
    changed += ["recipe"] if args.recipe in RECIPES and args.recipe != facts["recipe_name"] else []
    changed += [name for name in ("seed", "best_by") if getattr(args, name) not in (None, facts[name])]
    if changed:
        parser.error(f"a resumed run keeps its {', '.join(changed)}: leave the flag out, or start another run")


def _device(name: str) -> torch.device:
    """Each process of a machine gets a GPU of its own, unless one is named.

    Raises:
        RecipeError: there is no such device.
    """
    try:
        picked = pick_device(name)
        if picked == "cuda":
            picked = f"cuda:{distributed.local_rank()}"
            torch.cuda.set_device(picked)
        return torch.device(picked)
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"--device {name}: {error}") from None


def _announce(data: TrainingData, second: Task | None, recipe: Recipe, annotations: Annotations) -> None:
    task = data.validation
    validation = (
        "no validation: the last step counts as the best"
        if task is None
        else f"validation: {len(task.queries)} queries, {len(task.gallery)} gallery images"
    )
    sys.stderr.write(f"{len(data.entries)} images of {data.num_labels} identities; {validation}\n")
    for warning in data.manifest.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    for warning in () if task is None else task.warnings:
        if warning not in data.manifest.warnings:
            sys.stderr.write(f"validation: {warning}\n")
    if recipe.background_p and not any(entry.further.get(MASK_COLUMN) for entry in data.entries):
        sys.stderr.write(f"warning: no training image has a {MASK_COLUMN}: background_p exchanges nothing\n")
    for name in annotations.missing:
        sys.stderr.write(
            f"warning: no two training images differ in their {name}: {recipe.architecture} is trained without the "
            "term that learns from it\n"
        )
    for warning in () if second is None else second.warnings:
        sys.stderr.write(f"second validation: {warning}\n")


def _report(folder: RunFolder, progress: Progress, best_by: str, *, as_json: bool) -> None:
    best = progress.best
    result = {"checkpoint": str(folder.best), "num_steps": progress.steps_done, "best": best}
    name = best_by.replace("_", " ")
    found = "" if best is None else f", {name} CMC-1 {best['cmc1']:.1%} after epoch {best['epoch'] + 1:.0f}"
    sys.stdout.write((json.dumps(result) if as_json else f"{folder.best}: {progress.steps_done} steps{found}") + "\n")


def _fail(reason: str) -> int:
    sys.stderr.write(f"training.train: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
