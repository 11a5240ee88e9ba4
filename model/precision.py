"""The numeric paths: in what a network multiplies, and which of them a device has instructions for."""

from typing import Final, Literal, get_args

import torch

Precision = Literal["float32", "bf16", "fp16"]

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

PrecisionChoice = Literal["auto", "float32", "bf16", "fp16"]

PRECISION_CHOICES: Final[tuple[PrecisionChoice, ...]] = get_args(PrecisionChoice)

# Any of these multiplies so (x86, then ARM), by the names of `torch.cpu.get_capabilities`.
_CPU_INSTRUCTIONS: Final[dict[Precision, tuple[str, ...]]] = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}
_NAMES_OF_INSTRUCTIONS: Final[dict[Precision, str]] = {
    "bf16": "on x86 AVX512-BF16 or AMX",
    "fp16": "on x86 AVX512-FP16 or AMX-FP16",
}


def is_native(device: str, precision: Precision) -> bool:
    """Whether a device has instructions for a numeric path; true of devices other than cpu and cuda."""
    kind = torch.device(device).type
    if precision == "float32" or kind not in {"cpu", "cuda"}:
        return True
    if kind == "cuda":
        # Every GPU that this torch runs on multiplies fp16.
        return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _CPU_INSTRUCTIONS[precision])


def choose_precision(choice: PrecisionChoice, device: str, kept: str | None = None) -> Precision:
    """The numeric path of a setting.

    Args:
        choice: ``auto`` is the path of the embeddings that are kept already, as long as the device has instructions for
            it; without any, fp16 on a GPU and float32 elsewhere (docs/decisions/0026).
        device: what embeds.
        kept: in which the same network has embedded what is to be searched; another program's path is none of ours.
    """
    if choice != "auto":
        return choice
    for precision in PRECISIONS:
        if precision == kept and is_native(device, precision):
            return precision
    return "fp16" if torch.device(device).type == "cuda" else "float32"


def slow_precision_warning(device: str, precision: Precision) -> str | None:
    """What to set where the device imitates the precision, which is far slower than float32; None where it does not."""
    if is_native(device, precision):
        return None
    lacking = (
        f"this CPU has no instructions for {precision} ({_NAMES_OF_INSTRUCTIONS[precision]})"
        if torch.device(device).type == "cpu"
        else f"this GPU has no instructions for {precision} (they came with compute capability 8.0)"
    )
    return f"{lacking} and is many times slower at it: set the precision (SANET_PRECISION, --precision) to float32"
