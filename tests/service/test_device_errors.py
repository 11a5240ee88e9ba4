import pytest
import torch

from service.device_errors import is_context_broken, is_out_of_memory


def accelerator_error(text: str, code: int) -> torch.AcceleratorError:
    error = torch.AcceleratorError(text)
    setattr(error, "error_code", code)  # noqa: B010 - torch\'s stubs do not know it
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        accelerator_error("CUDA error: out of memory\nadvice", 2),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 687194767 bytes"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 99"),
    ],
)
def test_these_say_that_there_is_no_memory(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_context_broken(error)


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error("CUDA error: an illegal memory access was encountered\nadvice", 700),
        accelerator_error("CUDA error: in words that nobody has seen yet", 719),
        accelerator_error("CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error", 226),
        RuntimeError("CUDA error: device-side assert triggered\nadvice"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA driver error: misaligned address"),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        RuntimeError("CUDA error: the launch timed out and was terminated"),
        RuntimeError("CUDA error: an illegal instruction was encountered"),
    ],
)
def test_these_no_process_survives(error: Exception) -> None:
    assert is_context_broken(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: invalid configuration argument"),
        accelerator_error("CUDA error: no kernel image is available for execution on the device", 209),
        accelerator_error("CUDA error: too many resources requested for launch", 701),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("misaligned address"),  # not of CUDA
        ValueError("CUDA error: unspecified launch failure"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError(),
    ],
)
def test_all_else_is_neither(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not is_context_broken(error)
