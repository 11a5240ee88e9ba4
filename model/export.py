"""Exports a checkpoint to ONNX, for runtimes other than this one, such as NVIDIA Triton.

    python -m model.export --checkpoint FILE --out FILE.onnx [--json]
    python -m model.export --checkpoint FILE --triton FOLDER [--json]

The graph takes `images`, (N, S, S, 3) uint8 RGB: upright crops as `Preprocessing` makes them; N is free. It gives
`embedding` (N, D) and `theta` (N, 2, 3), float32. The file's metadata have the
checkpoint's fingerprint, config and preprocessing. Before anything is written, ONNX Runtime embeds random images with
it, and differences from the embedder are an error.
--triton writes a model repository: `sanet/config.pbtxt` and `sanet/1/model.onnx`.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, CheckpointError, canonical_json, load_checkpoint
from model.config import config_to_dict
from model.embedder import Embedder
from model.embeddings import EmbeddingError, Embeddings, largest_difference
from model.given_path import given_path
from model.inference_network import OnPixels, inference_network
from model.whole_file import whole_file

OPSET: Final = 20
"""The first whose GridSample has a name for each mode, as the alignment uses it."""

MOST_DIFFERENCE: Final = 1e-3
"""Of an embedding, in its own lengths: rounding, and what it does to the peak of a heading, stay well below."""

_NUM_CHECKED: Final = 3
_INSTALL: Final = "the extra `export` is not installed: pip install 'sanet-retrieval[export]'"

_TRITON: Final = """\
name: "sanet"
backend: "onnxruntime"
max_batch_size: {max_batch}
input [ {{ name: "images" data_type: TYPE_UINT8 dims: [ {size}, {size}, 3 ] }} ]
output [
  {{ name: "embedding" data_type: TYPE_FP32 dims: [ {dim} ] }},
  {{ name: "theta" data_type: TYPE_FP32 dims: [ 2, 3 ] }}
]
dynamic_batching {{ max_queue_delay_microseconds: 0 }}
"""
_TRITON_BATCH: Final = 64


class ExportError(RuntimeError):
    """The graph does not embed as the network does."""


def onnx_model(checkpoint: Checkpoint) -> bytes:
    """The ONNX file of a checkpoint, checked against the embedder.

    Raises:
        ExportError: it embeds otherwise.
        ImportError: the extra `export` is missing.
    """
    import onnx

    card = checkpoint.card
    size = card.preprocessing.size_px
    network = inference_network(checkpoint.network, size, torch.device("cpu"), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        program = torch.onnx.export(
            OnPixels(network.to(memory_format=torch.contiguous_format)),
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
            input_names=["images"],
            output_names=["embedding", "theta"],
            dynamic_shapes={"images": {0: "n"}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch made no graph of the network: nothing was written")
    model = program.model_proto
    onnx.helper.set_model_props(
        model,
        {
            "fingerprint": card.fingerprint,
            "config": canonical_json(config_to_dict(card.config)),
            "preprocessing": canonical_json(card.preprocessing.to_dict()),
        },
    )
    content: bytes = model.SerializeToString()
    require_same(checkpoint, content)
    return content


def require_same(checkpoint: Checkpoint, content: bytes) -> None:
    """Embeds random images both ways.

    Raises:
        ExportError: the ONNX file's embeddings or thetas are others than the embedder's.
    """
    size = checkpoint.card.preprocessing.size_px
    images = np.random.default_rng(0).integers(0, 256, (_NUM_CHECKED, size, size, 3), np.uint8)
    difference = largest_difference(
        Embedder(checkpoint, runtime="torch").embed_prepared(images), run_onnx(content, images)
    )
    if not difference <= MOST_DIFFERENCE:
        raise ExportError(f"the graph's embeddings differ by {difference:.1e} of their length: nothing was written")


def run_onnx(content: bytes, images: NDArray[np.uint8]) -> Embeddings:
    """What ONNX Runtime makes of preprocessed images (N, S, S, 3), on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return Embeddings(*session.run(["embedding", "theta"], {"images": images}))


def triton_config(checkpoint: Checkpoint) -> str:
    """``config.pbtxt`` of a model repository: batches form while the device is busy, without waiting."""
    card = checkpoint.card
    return _TRITON.format(max_batch=_TRITON_BATCH, size=card.preprocessing.size_px, dim=card.config.embedding_dim)


def main() -> int:
    """The command: 0 when the file is there, 1 if it cannot be, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        "model.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=given_path, required=True, metavar="FILE")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=given_path, metavar="FILE.onnx")
    where.add_argument("--triton", type=given_path, metavar="FOLDER", help="a model repository")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    args = parser.parse_args()
    try:
        result = _export(args)
    except ImportError:
        sys.stderr.write(f"model.export: {_INSTALL}\n")
        return 1
    except (CheckpointError, EmbeddingError, ExportError, OSError) as error:
        sys.stderr.write(f"model.export: {error}\n")
        return 1
    sys.stdout.write((json.dumps(result) if args.json else f"{result['file']} is written") + "\n")
    return 0


def _export(args: argparse.Namespace) -> dict[str, Any]:
    checkpoint = load_checkpoint(args.checkpoint)
    file: Path = args.out or args.triton / "sanet" / "1" / "model.onnx"
    content = onnx_model(checkpoint)
    if args.triton:
        file.parent.mkdir(parents=True, exist_ok=True)
        (args.triton / "sanet" / "config.pbtxt").write_text(triton_config(checkpoint))
    with whole_file(file) as temporary:
        temporary.write_bytes(content)
    return {"file": str(file), "bytes": len(content), "fingerprint": checkpoint.card.fingerprint, "opset": OPSET}


if __name__ == "__main__":
    sys.exit(main())
