"""What `benchmarks.embed` times: the embedder, and the ways in which others run the same network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.build import Network
from model.checkpoint import Checkpoint
from model.embedder import Embedder
from model.export import onnx_model
from model.precision import Precision, is_native

Images = NDArray[np.uint8]
Embed = Callable[[Images], NDArray[np.float32]]


@dataclass(frozen=True)
class Engine:
    """One way to embed.

    Attributes:
        name: in tables.
        precision: of its products.
        embed: images (N, S, S, 3) -> embeddings (N, D).
        one_by_one: it takes the images of a batch one after the other.
    """

    name: str
    precision: Precision
    embed: Embed
    one_by_one: bool = False


def engines(checkpoint: Checkpoint, device: torch.device, threads: int) -> Iterator[tuple[str, Callable[[], Engine]]]:
    """Their names, and what makes each: some take a minute, and some are not installed (`ImportError`).

    Args:
        checkpoint: it stays as it is.
        device: of torch; ONNX Runtime and OpenVINO run on the CPU and are left out elsewhere.
        threads: that they may use on a CPU.
    """
    kind = str(device)
    yield "ours", lambda: _embedder(checkpoint, kind, "float32")
    others: tuple[Precision, ...] = ("bf16", "fp16")
    for precision in others:
        if is_native(kind, precision):
            yield f"ours, {precision}", partial(_embedder, checkpoint, kind, precision)
    network = checkpoint.network.to(device)
    yield "eager, one by one", lambda: Engine("eager, one by one", "float32", _eager(network, device), one_by_one=True)
    yield "eager", lambda: Engine("eager", "float32", _eager(network, device))
    if is_native(kind, "bf16"):
        yield "eager, bf16", lambda: Engine("eager, bf16", "bf16", _eager(network, device, torch.bfloat16))
    yield "torch.compile", lambda: Engine("torch.compile", "float32", _eager(torch.compile(network), device))
    if device.type == "cpu":
        yield "ONNX Runtime", lambda: Engine("ONNX Runtime", "float32", _onnx_runtime(checkpoint, threads))
        yield "OpenVINO", lambda: Engine("OpenVINO", "float32", _openvino(checkpoint, threads, "f32"))
        if is_native(kind, "bf16"):
            yield "OpenVINO, bf16", lambda: Engine("OpenVINO, bf16", "bf16", _openvino(checkpoint, threads, "bf16"))


def _embedder(checkpoint: Checkpoint, device: str, precision: Precision) -> Engine:
    embedder = Embedder(checkpoint, device, precision)
    name = "ours" if precision == "float32" else f"ours, {precision}"
    return Engine(name, precision, lambda images: embedder.embed_prepared(images).embedding)


def _eager(network: Network | Any, device: torch.device, autocast: torch.dtype | None = None) -> Embed:
    """As feature extractors call a network: the images as contiguous float32 in NCHW order."""

    def embed(images: Images) -> NDArray[np.float32]:
        batch = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255).to(device)
        with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
            embedding: NDArray[np.float32] = network(batch).embedding.float().cpu().numpy()
        return embedding

    return embed


def _onnx_runtime(checkpoint: Checkpoint, threads: int) -> Embed:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_model(checkpoint), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["embedding"], {"images": images})[0]


def _openvino(checkpoint: Checkpoint, threads: int, precision: str) -> Embed:
    from model.silent_openvino import openvino

    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(core.read_model(onnx_model(checkpoint)), "CPU", options)
    return lambda images: model([images])["embedding"]
