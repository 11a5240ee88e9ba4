r"""Draws what a paper shows of retrieval: CMC, ranked lists, t-SNE, alignment before and after, ROC, distances.

    python -m training.figures --checkpoint "baseline=runs/baseline/best.safetensors" \
        --checkpoint "SANet=runs/sanet/best.safetensors" --data DIR_OR_MANIFEST --out FOLDER

Each figure is written as PNG and as SVG. The methods appear in the order given, the baseline first by custom. What is
chosen at random follows from --seed. Queries are framed blue, true matches green, false ones red and dashed. A
calibrated checkpoint also gets a reliability diagram with its open-set ROC.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from index.calibration.calibration import Calibration
from index.command_parser import CommandParser
from index.datasets.bulk_embedding import embed_entries
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import plan_task
from index.ranking.evaluation import evaluate_embedded
from model.box import BoxError
from model.checkpoint import CheckpointError, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from training.arguments import add_data_arguments, at_least_one, read_data, seed
from training.figures.alignment_pairs import draw_alignment
from training.figures.calibration import draw_calibration
from training.figures.curves import draw_cmc, draw_distances, draw_roc
from training.figures.embedding_map import draw_tsne
from training.figures.method import Method
from training.figures.ranked_lists import choose_queries, draw_ranked_lists
from training.figures.style import save

_FIGURES = ("cmc", "ranked", "tsne", "alignment", "roc", "distances", "calibration")


def main() -> int:
    """The command: 0 when drawn, 1 if the data or a checkpoint cannot be used, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    try:
        methods = _embed(args)
    except (ManifestError, ProtocolError, CheckpointError, ImageError, BoxError, EmbeddingError, OSError) as error:
        sys.stderr.write(f"training.figures: {error}\n")
        return 1
    except ValueError as error:
        parser.error(str(error))
    queries = choose_queries(methods, args.num_queries, args.seed)
    draw: dict[str, Callable[[], Figure]] = {
        "cmc": lambda: draw_cmc([(m.label, evaluate_embedded(m.task, m.embedded)) for m in methods]),
        "ranked": lambda: draw_ranked_lists(methods, queries),
        "tsne": lambda: draw_tsne(methods, seed=args.seed),
        "roc": lambda: draw_roc(methods),
        "distances": lambda: draw_distances(methods),
    }
    written = [path for name in args.figures if name in draw for path in save(draw[name](), args.out / name)]
    if "alignment" in args.figures:
        pairs = choose_queries(methods, 8, args.seed)
        for number, method in enumerate(methods, start=1):
            written += save(draw_alignment(method, pairs), args.out / f"alignment-{number}")
    if "calibration" in args.figures:
        for number, method in enumerate(methods, start=1):
            if method.card.calibration is not None:
                measured = Calibration.from_dict(method.card.calibration).measured
                written += save(draw_calibration(measured), args.out / f"calibration-{number}")
    text = json.dumps({"figures": [str(path) for path in written]}) if args.json else "\n".join(map(str, written))
    sys.stdout.write(text + "\n")
    return 0


def _embed(args: argparse.Namespace) -> list[Method]:
    task = plan_task(read_data(args).where(args.where), args.split)
    for warning in task.warnings:
        sys.stderr.write(f"training.figures: warning: {warning}\n")
    methods = []
    for label, path in args.checkpoint:
        checkpoint = load_checkpoint(path)
        embedder = Embedder(checkpoint, pick_device(args.device))
        with tqdm(total=len(task.entries), desc=label, unit="img", disable=args.quiet) as bar:
            embedded = embed_entries(
                task.manifest, task.entries, checkpoint.card.preprocessing, embedder.embed_prepared, bar.update
            )
        methods.append(Method(label, checkpoint.card, task, embedded))
    return methods


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m training.figures", description=__doc__)
    parser.add_argument(
        "--checkpoint", type=_labelled, action="append", required=True, metavar="LABEL=FILE", help="repeatable"
    )
    add_data_arguments(parser)
    parser.add_argument("--split", help="by default the only one that has queries, or test")
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only such lines")
    parser.add_argument("--out", type=given_path, required=True, help="the folder for the figures")
    parser.add_argument("--figures", type=_names, default=list(_FIGURES), help=f"of {','.join(_FIGURES)} (default all)")
    parser.add_argument("--num-queries", type=at_least_one, default=4, help="queries in the ranked lists")
    parser.add_argument("--seed", type=seed, default=0, help="of what is chosen at random")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _labelled(text: str) -> tuple[str, Path]:
    label, equals, path = text.partition("=")
    if not equals or Path(text).is_file():
        return Path(text).parent.name or text, Path(text)
    return label, Path(path)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(_FIGURES):
        raise argparse.ArgumentTypeError(f"there are {', '.join(_FIGURES)}; not {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
