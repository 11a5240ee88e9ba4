"""OpenVINO, which sends something about its use to its makers at every import, without the package that does it."""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ["openvino"]
