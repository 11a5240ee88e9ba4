"""What an error of the device means: too many images at once, or a device that this process cannot use any more."""

from typing import Final

import torch

# How allocators say it that raise neither `MemoryError` nor `torch.OutOfMemoryError`: torch's for the CPU, the drivers
# of a GPU, cuDNN and cuBLAS for their workspaces, C++, and ONNX Runtime.
_OUT_OF_MEMORY: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "_status_alloc_failed",
    "bad_alloc",
    "failed to allocate memory",
)

# cudaError_t. Of most of them CUDA's documentation says: "This leaves the process in an inconsistent state and any
# further CUDA work will return the same error. To continue using CUDA, the process must be terminated and relaunched."
# Of memory and links damaged beyond correction (214, 220) and of a context that is gone (709) it is true as well.
_BROKEN: Final = {
    214: "uncorrectable ECC error encountered",
    220: "uncorrectable NVLink error detected during the execution",
    226: "Invalid access of peer GPU memory over nvlink or a hardware error",
    700: "an illegal memory access was encountered",
    702: "the launch timed out and was terminated",
    709: "context is destroyed",
    710: "device-side assert triggered",
    714: "hardware stack error",
    715: "an illegal instruction was encountered",
    716: "misaligned address",
    717: "operation not supported on global/shared address space",
    718: "invalid program counter",
    719: "unspecified launch failure",
    721: "tensor memory not completely freed",
    810: "MPS client has been terminated",
    911: "an async error has occurred in external entity outside of CUDA",
}


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was no memory for what was asked of it, so that less may fit."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in text for said in _OUT_OF_MEMORY)


def is_context_broken(error: Exception) -> bool:
    """Whether a GPU answers all that this process asks of it with the same error from now on.

    By CUDA's number where torch gives it, else by CUDA's words: cuDNN, Triton and older builds pass on the text alone.
    """
    if getattr(error, "error_code", None) in _BROKEN:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and "cuda" in text and any(said.lower() in text for said in _BROKEN.values())
