"""Whether fast ways to embed give the answers of the network as it was trained, computed eagerly in float32.

    python -m benchmarks.fidelity --data DIR_OR_MANIFEST [--split SPLIT] [--checkpoint FILE] [--device auto] [--json]

For each runtime and numeric path that this machine has, beside the eager network: CMC-1; of how many queries the first
answer is another image, and of how many it is right in one way only; how many of the ten nearest are the same; and how
far an image lies from itself when it is embedded alone and among others, in median distances to the second answer.

fp16 on a CPU without its instructions is computed in float32 with every layer's result rounded to fp16: its answers,
not its speed.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.embedding_engines import Images
from index.command_parser import CommandParser
from index.datasets.bulk_embedding import EmbeddedEntries, prepare_entries
from index.datasets.manifest import ManifestError
from index.datasets.protocol import ProtocolError
from index.datasets.task import Task, plan_task
from index.ranking.evaluation import evaluate_embedded
from model.box import BoxError
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from model.embedder import DEFAULT_BATCH, Embedder, compute_in_float32, embed_prepared, pick_device
from model.embeddings import EmbeddingError, Embeddings
from model.given_path import given_path
from model.image import ImageError
from model.inference_network import inference_network
from model.precision import is_native
from training.datasets.opening import open_data

_SHIPPED: Final = Path(__file__).resolve().parents[1] / "demo" / "sanet.safetensors"
_TOP: Final = 10
_NUM_ALONE: Final = 64

Way = tuple[str, Callable[[Images], Embeddings]]


def ways(checkpoint: Checkpoint, device: str) -> Iterator[Way]:
    """The ways to embed that this machine has."""
    yield "torch, float32", Embedder(checkpoint, device, "float32", "torch").embed_prepared
    if torch.device(device).type == "cpu":
        openvino = Embedder(checkpoint, device, "float32")
        if not openvino.runtime.startswith("torch"):
            yield f"{openvino.runtime.split()[0]}, float32", openvino.embed_prepared
    if is_native(device, "bf16"):
        yield "torch, bf16", Embedder(checkpoint, device, "bf16", "torch").embed_prepared
    if is_native(device, "fp16"):
        yield "torch, fp16", Embedder(checkpoint, device, "fp16", "torch").embed_prepared
    else:
        network = _rounded_to_fp16(checkpoint)
        yield "rounded to fp16", lambda images: embed_prepared(network, images, torch.device("cpu"))


def _rounded_to_fp16(checkpoint: Checkpoint) -> Any:
    """The folded network with weights of fp16 and every layer's result rounded to it; sums in float32 as on a GPU."""
    network = inference_network(
        checkpoint.network, checkpoint.card.preprocessing.size_px, torch.device("cpu"), "float32"
    )

    def rounded(_: nn.Module, __: Any, output: Any) -> Any:
        return output.half().float() if isinstance(output, Tensor) else output

    for name, part in network.named_children():
        if name in {"normalization", "input_alignment"}:
            continue
        for module in part.modules():
            for parameter in module.parameters(recurse=False):
                parameter.copy_(parameter.half().float())
            if not list(module.children()):
                module.register_forward_hook(rounded)
    return network


def measure(task: Task, checkpoint: Checkpoint, device: str) -> list[dict[str, Any]]:
    """A row for each way."""
    side = checkpoint.card.preprocessing.size_px
    images, content = np.empty((len(task.entries), side, side, 3), np.uint8), [""] * len(task.entries)
    for prepared in prepare_entries(task.manifest, task.entries, checkpoint.card.preprocessing):
        images[prepared.position], content[prepared.position] = prepared.image, prepared.content
    compute_in_float32()
    network = checkpoint.network.to(device)
    eager = _embed_all(lambda part: embed_prepared(network, part, torch.device(device)), images, "eager")
    expected = _answers(eager.embedding, task)
    rows = []
    for name, embed in ways(checkpoint, device):
        found = _embed_all(embed, images, name)
        answers = _answers(found.embedding, task)
        alone = np.concatenate([embed(images[i : i + 1]).embedding for i in range(min(_NUM_ALONE, len(images)))])
        itself = np.linalg.norm(alone - found.embedding[: len(alone)], axis=1).max()
        rows.append(
            {
                "path": name,
                "cmc1": evaluate_embedded(task, EmbeddedEntries(*found, content)).cmc(1),
                "cmc1_eager": evaluate_embedded(task, EmbeddedEntries(*eager, content)).cmc(1),
                "num_queries": len(task.queries),
                "first_changed": int((answers.nearest[:, 0] != expected.nearest[:, 0]).sum()),
                "right_changed": int((_right(answers, task) != _right(expected, task)).sum()),
                "top_10_same": _share_shared(answers.nearest, expected.nearest),
                "self_to_second": float(itself / np.median(answers.second)),
                "eager_to_second": float(np.linalg.norm(found.embedding - eager.embedding, axis=1).max())
                / float(np.median(answers.second)),
            }
        )
    return rows


class _Answers:
    """Of each query the nearest ten of the gallery (Q, 10), and the distance to the second (Q,)."""

    def __init__(self, nearest: NDArray[np.int64], second: NDArray[np.float64]) -> None:
        self.nearest, self.second = nearest, second


def _answers(embeddings: NDArray[np.float32], task: Task) -> _Answers:
    num = len(task.queries)
    queries, gallery = (
        part.astype(np.float64) for part in (embeddings[:num], embeddings[num : num + len(task.gallery)])
    )
    squares = (queries**2).sum(1)[:, None] + (gallery**2).sum(1) - 2 * queries @ gallery.T
    nearest = np.argsort(squares, axis=1, kind="stable")[:, :_TOP]
    return _Answers(nearest, np.sqrt(np.take_along_axis(squares, nearest[:, 1:2], axis=1).clip(0))[:, 0])


def _right(answers: _Answers, task: Task) -> NDArray[np.bool_]:
    of_gallery = [entry.identity for entry in task.gallery]
    first = answers.nearest[:, 0].tolist()
    return np.array([of_gallery[row] == query.identity for row, query in zip(first, task.queries, strict=True)])


def _share_shared(found: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    shared = [len(np.intersect1d(*pair)) for pair in zip(found, expected, strict=True)]
    return sum(shared) / expected.size


def _embed_all(embed: Callable[[Images], Embeddings], images: Images, name: str) -> Embeddings:
    starts = tqdm(range(0, len(images), DEFAULT_BATCH), desc=name, disable=None)
    parts = [embed(images[i : i + DEFAULT_BATCH]) for i in starts]
    return Embeddings(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--data", type=given_path, required=True, help="a manifest, or a folder in a data set's layout")
    parser.add_argument("--split", help="default: the only one that has queries, or test")
    parser.add_argument("--checkpoint", type=given_path, default=_SHIPPED, help="default: the shipped one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args = parser.parse_args()
    try:
        device = pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    try:
        task = plan_task(open_data(args.data), args.split)
        rows = measure(task, load_checkpoint(args.checkpoint), device)
    except (ManifestError, ProtocolError, CheckpointError, EmbeddingError, ImageError, BoxError, OSError) as error:
        print(f"benchmarks.fidelity: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"rows": rows, "device": device}))
        return 0
    for row in rows:
        print(
            f"{row['path']:22} CMC-1 {row['cmc1']:.4f} (eager {row['cmc1_eager']:.4f}); of {row['num_queries']} "
            f"queries {row['first_changed']} have another first answer, {row['right_changed']} right in one way only; "
            f"top 10 the same {row['top_10_same']:.4f}; distance to itself {row['self_to_second']:.5f}, "
            f"to the eager one {row['eager_to_second']:.5f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
