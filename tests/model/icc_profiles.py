"""Small ICC profiles (version 2.1) made byte by byte, and the same colour arithmetic in float64 as their oracle."""

import itertools
import struct

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Columns: the red, green and blue primary in CIE XYZ, adapted to D50.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
ADOBE_GAMMA = 563 / 256


def srgb_to_linear(encoded: Floats) -> Floats:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Floats) -> Floats:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def to_levels(encoded: Floats) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(encoded.clip(0, 1) * 255).astype(np.uint8)
    return levels


def srgb_pixels_in(pixels: NDArray[np.uint8], primaries: Floats, gamma: float | None = None) -> NDArray[np.uint8]:
    """The same colours (H, W, 3) in another RGB space, with its gamma or else with sRGB's curve."""
    xyz = srgb_to_linear(pixels / 255) @ SRGB.T
    linear = (xyz @ np.linalg.inv(primaries).T).clip(0, 1)
    return to_levels(linear_to_srgb(linear) if gamma is None else linear ** (1 / gamma))


def muted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours that every RGB space here has."""
    return (64 + pixels.astype(float) * 0.5).astype(np.uint8)


def matrix_profile(primaries: Floats, gamma: float | None = None) -> bytes:
    curve = _srgb_curve() if gamma is None else _gamma_curve(gamma)
    tags = {}
    for name, primary in zip((b"r", b"g", b"b"), primaries.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in primary))
        tags[name + b"TRC"] = curve
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags)


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": _gamma_curve(gamma)})


def grey_in_srgb(grey: NDArray[np.uint8], gamma: float) -> NDArray[np.uint8]:
    return to_levels(linear_to_srgb((grey / 255) ** gamma))


def cmyk_profile() -> bytes:
    """A printer whose four inks all darken alike: L* = 100 - 25 (C + M + Y + K), without any colour."""
    identity = bytes(range(256))
    all_inks = itertools.product((0, 1), repeat=4)
    corners = b"".join(bytes([255 - round(255 * sum(inks) / 4), 128, 128]) for inks in all_inks)
    matrix = struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return _profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": table})


def cmyk_in_srgb(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `cmyk_profile` says of inks (H, W, 4) in sRGB (H, W, 3)."""
    lightness = 100 - 25 * (inks / 255).sum(2)
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * 27 / 24389)
    return np.stack([to_levels(linear_to_srgb(luminance))] * 3, axis=2)


def _gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _srgb_curve() -> bytes:
    levels = np.rint(srgb_to_linear(np.arange(1024) / 1023) * 65535).astype(int)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *levels)


def _profile(space: bytes, connection: bytes, device_class: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    start = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI", start + len(body), bytes(4), 0x02100000) + device_class + space + connection
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + directory + body
