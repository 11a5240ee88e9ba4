"""Scores a checkpoint by the field's protocols: CMC, mAP, mINP, with 95 % intervals over identities.

    python -m training.evaluate --checkpoint FILE --data DIR_OR_MANIFEST [--split S] [--where stationary=0] [--json]
    python -m training.evaluate --checkpoint FILE --data DIR_OR_MANIFEST [--export FILE.npz] [--per-query FILE.csv]
    python -m training.evaluate --claim R1=0.965,mAP=0.919 --data DIR_OR_MANIFEST

Roles, cameras, junk and distractors come from the manifest, the camera rule from its JSON sidecar. What cannot be
answered is refused, and what a reader has to know stands in the warnings. --export and --per-query write what the
figures are made of: embeddings, thetas, each query's ranks and distances. --claim needs no checkpoint: it says whether
somebody's figures can be of this data's protocol at all.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, get_args

from tqdm import tqdm

from index.command_parser import CommandParser
from index.datasets.bulk_embedding import EmbeddedEntries, embed_entries
from index.datasets.manifest import Manifest, ManifestError
from index.datasets.protocol import CameraRule, ProtocolError
from index.datasets.task import Task, plan_task
from index.ranking.evaluation import DEFAULT_RANKS, Evaluation, check_figures, evaluate_embedded
from index.ranking.reranking import Refinement, Reranking
from model.box import BoxError
from model.checkpoint import CheckpointError, annotate_checkpoint, load_checkpoint
from model.embedder import Embedder, pick_device
from model.embeddings import EmbeddingError
from model.given_path import given_path
from model.image import ImageError
from model.number import NumberError, decimal_number, whole_number
from model.precision import PRECISIONS, slow_precision_warning
from model.whole_file import whole_file
from training.arguments import add_data_arguments, read_data
from training.evaluation_arrays import write_evaluation_arrays
from training.query_table import write_query_table
from training.submission import write_submission


def main() -> int:
    """The command: 0 with figures, 1 if there can be none, 2 for wrong arguments."""
    parser = _parser()
    args = parser.parse_args()
    _check_files(parser, args)
    try:
        manifest = read_data(args).where(args.where)
        if args.submission is not None or args.claim is not None:
            # A task's result has them among its own warnings.
            _warn(manifest.warnings)
        if args.submission is not None:
            return _submit(parser, args, manifest)
        task = plan_task(manifest, args.split, args.camera_rule)
        if args.claim is not None:
            return _judge(args, task)
        if args.checkpoint is None:
            parser.error("--checkpoint is required, unless a claim is judged")
        result = _evaluate(args, task)
    except ValueError as error:
        if isinstance(error, ManifestError | ProtocolError | CheckpointError | ImageError | BoxError):
            return _fail(error)
        parser.error(str(error))
    except (EmbeddingError, OSError) as error:
        return _fail(error)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _table(result, args.ranks))
    return 0


def _evaluate(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    checkpoint = load_checkpoint(args.checkpoint)
    device = pick_device(args.device)
    _warn(filter(None, [slow_precision_warning(device, args.precision)]))
    embedder = Embedder(checkpoint, device, args.precision)
    embedded = embed_task(embedder, task, quiet=args.quiet)
    refinement = _refinement(args)
    writes_queries = args.export is not None or args.per_query is not None
    evaluation = evaluate_embedded(task, embedded, refinement, keep_matches=writes_queries)
    result = _described(evaluation, embedder, args.ranks)
    if args.annotate and refinement is None:
        result |= _reranked(task, embedded, args.ranks)
    _write_queries(args, evaluation, embedded, result)
    if args.annotate:
        annotate_checkpoint(args.checkpoint, evaluation=result)
    return result


def _write_queries(
    args: argparse.Namespace, evaluation: Evaluation, embedded: EmbeddedEntries, result: dict[str, Any]
) -> None:
    """The files that were asked for: each whole, and all or none."""
    with ExitStack() as files:
        if args.export is not None:
            write_evaluation_arrays(files.enter_context(whole_file(args.export)), evaluation, embedded, result)
        if args.per_query is not None:
            write_query_table(files.enter_context(whole_file(args.per_query)), evaluation)


def embed_task(embedder: Embedder, task: Task, *, quiet: bool) -> EmbeddedEntries:
    """The task's entries, with a progress bar."""
    with tqdm(total=len(task.entries), unit="img", disable=quiet) as bar:
        preprocessing = embedder.card.preprocessing
        return embed_entries(task.manifest, task.entries, preprocessing, embedder.embed_prepared, bar.update)


def figures(
    embedder: Embedder,
    task: Task,
    embedded: EmbeddedEntries,
    refinement: Refinement | None = None,
    ranks: Sequence[int] = DEFAULT_RANKS,
) -> dict[str, Any]:
    """What the command prints of a task whose entries are embedded; JSON values."""
    return _described(evaluate_embedded(task, embedded, refinement), embedder, ranks)


def annotation(
    embedder: Embedder, task: Task, embedded: EmbeddedEntries, ranks: Sequence[int] = DEFAULT_RANKS
) -> dict[str, Any]:
    """What a checkpoint's header says of a task: the figures, and what re-ranking would make of them.

    So the service can say what re-ranking does to this model's answers, when somebody asks for it.
    """
    return figures(embedder, task, embedded, ranks=ranks) | _reranked(task, embedded, ranks)


def _described(evaluation: Evaluation, embedder: Embedder, ranks: Sequence[int]) -> dict[str, Any]:
    return evaluation.to_dict(ranks) | {
        "model": embedder.card.fingerprint,
        "precision": embedder.precision,
        "device": str(embedder.device),
        "runtime": embedder.runtime,
    }


def _reranked(task: Task, embedded: EmbeddedEntries, ranks: Sequence[int]) -> dict[str, Any]:
    reranked = evaluate_embedded(task, embedded, Refinement(0, Reranking()))
    return {"reranked": {"cmc": {str(rank): reranked.cmc(rank) for rank in ranks}, "map": reranked.map}}


def _check_files(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses files to write that could not be written, or that something else lies in, before anything is embedded."""
    others = {args.data.resolve(): "--data", (args.data / "manifest.csv").resolve(): "--data"}
    if args.checkpoint is not None:
        others[args.checkpoint.resolve()] = "--checkpoint"
    for flag, path in (("--export", args.export), ("--per-query", args.per_query)):
        if path is None:
            continue
        if args.claim is not None or args.submission is not None:
            parser.error(f"{flag} writes what an evaluation found: leave out --claim and --submission, which are none")
        if path.is_dir():
            parser.error(f"{flag} {path}: this is a folder; name a file")
        # A finished file takes the name of what is there: a link or a device would be gone.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            parser.error(f"{flag} {path}: this is a link or a device; name a file")
        if other := others.get(path.resolve()):
            parser.error(f"{flag} {path}: this is the file of {other}; name another")
        others[path.resolve()] = flag


def _refinement(args: argparse.Namespace) -> Refinement | None:
    reranking = Reranking(args.rerank_k1, args.rerank_k2, args.rerank_weight) if args.rerank else None
    return Refinement(args.expand, reranking) if args.rerank or args.expand else None


def _submit(parser: argparse.ArgumentParser, args: argparse.Namespace, manifest: Manifest) -> int:
    if args.checkpoint is None:
        parser.error("--checkpoint is required for a submission")
    checkpoint = load_checkpoint(args.checkpoint)
    embedder = Embedder(checkpoint, pick_device(args.device), args.precision)
    embed_batch = embedder.embed_prepared
    num = write_submission(
        args.submission, manifest, args.split or "test", checkpoint.card.preprocessing, embed_batch, _refinement(args)
    )
    result = {"submission": str(args.submission), "num_queries": num}
    sys.stdout.write((json.dumps(result) if args.json else f"{args.submission}: {num} ranked lists") + "\n")
    return 0


def _judge(args: argparse.Namespace, task: Task) -> int:
    claim: dict[str, float] = args.claim
    of_gallery = Counter(entry.identity for entry in task.gallery if entry.role == "gallery")
    most = max(of_gallery[entry.identity] for entry in task.queries)
    check_figures(claim["r1"], claim["map"], claim.get("minp"), max_matches=most)
    text = (
        json.dumps({"possible": True, "max_matches": most})
        if args.json
        else f"possible: at most {most} true matches per query"
    )
    sys.stdout.write(text + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, help="the .safetensors checkpoint")
    add_data_arguments(parser)
    parser.add_argument("--split", help="by default the only one that has queries, or test")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only lines that say so; repeatable"
    )
    parser.add_argument("--camera-rule", choices=get_args(CameraRule), help="instead of the data's own")
    parser.add_argument("--ranks", type=_ranks, default=DEFAULT_RANKS, help="of the CMC, such as 1,5,10")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument(
        "--annotate",
        action="store_true",
        help="write the result into the checkpoint's metadata, with what re-ranking would make of it",
    )
    parser.add_argument(
        "--export",
        type=given_path,
        metavar="FILE.npz",
        help="embeddings, thetas, each query's ranks and distances",
    )
    parser.add_argument(
        "--per-query",
        type=given_path,
        metavar="FILE.csv",
        help="a line per query: its first match, the nearest other",
    )
    parser.add_argument("--rerank", action="store_true", help="re-rank by k-reciprocal neighbours")
    parser.add_argument("--rerank-k1", type=whole_number, default=Reranking.k1, help="neighbours [%(default)s]")
    parser.add_argument("--rerank-k2", type=whole_number, default=Reranking.k2, help="averaged [%(default)s]")
    parser.add_argument(
        "--rerank-weight", type=decimal_number, default=Reranking.weight, help="of the distance [%(default)s]"
    )
    parser.add_argument("--expand", type=whole_number, default=0, metavar="N", help="query expansion by the N nearest")
    parser.add_argument(
        "--submission", type=given_path, help="instead of scoring, write VRAI's ranked lists to this file"
    )
    parser.add_argument("--claim", type=_claim, metavar="R1=..,mAP=..[,mINP=..]", help="judge figures, in 0..1")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    return parser


def _ranks(text: str) -> tuple[int, ...]:
    ranks = tuple(map(whole_number, text.split(",")))
    if min(ranks) < 1:
        raise argparse.ArgumentTypeError(f"ranks start at 1, got {text}")
    return ranks


def _claim(text: str) -> dict[str, float]:
    parts = (part.partition("=") for part in text.split(","))
    try:
        claim = {name.strip().lower(): decimal_number(value) for name, _, value in parts}
    except NumberError:
        claim = {}
    if not {"r1", "map"} <= claim.keys() <= {"r1", "map", "minp"} or not all(0 <= v <= 1 for v in claim.values()):
        raise argparse.ArgumentTypeError(f"a claim is R1=..,mAP=.. and perhaps mINP=.., each in 0..1; got {text!r}")
    return claim


def _table(result: dict[str, Any], ranks: tuple[int, ...]) -> str:
    intervals = {name: f"  [{low:.2%}, {high:.2%}]" for name, (low, high) in result["intervals"].items()}
    rows = [(f"CMC-{rank}", result["cmc"][str(rank)], intervals.get(f"cmc{rank}", "")) for rank in ranks]
    rows += [("mAP", result["map"], intervals["map"]), ("mINP", result["minp"], "")]
    lines = [f"{result['dataset']}: {result['num_queries']} queries, {result['num_gallery']} gallery images"]
    lines += [f"{name:8}{value:8.2%}{interval}" for name, value, interval in rows]
    lines += [f"in brackets: 95 % intervals over {result['num_query_identities']} {result['intervals_over']}"]
    lines += [f"note: {warning}" for warning in result["warnings"]]
    return "\n".join(lines) + "\n"


def _warn(warnings: Iterable[str | None]) -> None:
    for warning in warnings:
        sys.stderr.write(f"training.evaluate: warning: {warning}\n")


def _fail(error: Exception) -> int:
    sys.stderr.write(f"training.evaluate: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
