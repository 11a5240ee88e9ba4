from collections.abc import Mapping

import pytest
import torch

from model.precision import Precision, PrecisionChoice, choose_precision, is_native, slow_precision_warning

X86_WITHOUT = {"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("device", "precision", "capabilities", "slow"),
    [
        ("cpu", "bf16", X86_WITHOUT, True),
        ("cpu:0", "bf16", X86_WITHOUT, True),
        ("cpu", "float32", X86_WITHOUT, False),
        ("cpu", "bf16", X86_WITHOUT | {"avx512_bf16": True}, False),
        ("cpu", "bf16", X86_WITHOUT | {"amx_bf16": True}, False),
        ("cpu", "bf16", {"architecture": "aarch64", "neon": True, "bf16": False, "i8mm": False}, True),
        ("cpu", "bf16", {"architecture": "aarch64", "neon": True, "bf16": True}, False),
        ("cpu", "bf16", {}, True),
        ("mps", "bf16", X86_WITHOUT, False),
    ],
)
def test_bf16_on_a_cpu_without_its_instructions_is_warned_of(
    device: str, precision: Precision, capabilities: Mapping[str, object], slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    warning = slow_precision_warning(device, precision)
    if not slow:
        assert warning is None
    else:
        assert warning is not None
        assert warning.startswith("this CPU has no instructions for bf16")
        assert warning.endswith("set the precision (SANET_PRECISION, --precision) to float32")


@pytest.mark.parametrize(
    ("native", "precision", "slow"), [(False, "bf16", True), (True, "bf16", False), (False, "float32", False)]
)
def test_bf16_on_a_gpu_without_its_instructions_is_warned_of(
    native: bool, precision: Precision, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: X86_WITHOUT | {"avx512_bf16": not native})
    warning = slow_precision_warning("cuda:1", precision)
    assert (warning is not None) == slow
    assert warning is None or warning.startswith("this GPU has no instructions for bf16")


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [(X86_WITHOUT, False), ({"avx512_bf16": True}, False), ({"avx512_fp16": True}, True), ({"amx_fp16": True}, True)],
)
def test_fp16_is_another_instruction_than_bf16(
    capabilities: Mapping[str, object], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert is_native("cpu", "fp16") == native
    warning = slow_precision_warning("cpu", "fp16")
    assert (warning is None) == native
    assert native or "no instructions for fp16" in str(warning)
    assert is_native("cuda:0", "fp16")
    assert is_native("cpu", "float32")


@pytest.mark.parametrize(
    ("choice", "device", "kept", "chosen"),
    [
        ("auto", "cpu", None, "float32"),
        ("auto", "cuda:1", None, "fp16"),
        ("auto", "cuda", "float32", "float32"),
        ("auto", "cuda", "bf16", "bf16"),
        ("auto", "cpu", "float32", "float32"),
        ("auto", "cpu", "bf16", "float32"),
        ("auto", "cpu", "fp16", "float32"),
        ("bf16", "cpu", "float32", "bf16"),
        ("auto", "cpu", "tensorrt", "float32"),
        ("float32", "cuda", "fp16", "float32"),
    ],
)
def test_the_path_is_chosen_by_what_is_kept_and_by_the_device(
    choice: PrecisionChoice, device: str, kept: str | None, chosen: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: X86_WITHOUT)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert choose_precision(choice, device, kept) == chosen


def test_a_cpu_that_has_bf16_goes_on_with_a_gallery_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("auto", "cpu", "bf16") == "bf16"
    assert choose_precision("auto", "cpu") == "float32"
