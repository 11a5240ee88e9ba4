"""From surfaces and light to a picture: diffuse light, shadow, the mirrored sky with Fresnel's law, the sun's glint."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.synthetic.scenes.light import Light
from training.synthetic.scenes.rasterizer import Surfaces
from training.synthetic.vehicles.mesh import Material

Image = NDArray[np.float32]
_NORMAL_MIRROR: Final = np.array([0.06, 0.1, 0.006, 0.35], np.float32)  # Schlick's R0 by material
_GRAZING_MIRROR: Final = np.array([0.7, 0.7, 0.08, 0.7], np.float32)  # what it rises to
_GLINT: Final = np.array([900.0, 1500.0, 12.0, 90.0], np.float32)  # sharpness of the sun's reflection
assert [int(m) for m in Material] == [0, 1, 2, 3]  # noqa: S101 - the order of the three tables


def to_linear(srgb: NDArray[np.floating | np.uint8]) -> Image:
    """SRGB in 0..255 to linear light in 0..1 (a plain power of 2.2)."""
    return (np.asarray(srgb, np.float32) * np.float32(1 / 255)) ** np.float32(2.2)


def shade_vehicles(surfaces: Surfaces, eye: NDArray[np.floating], light: Light, lit: Image, ground: Image) -> Image:
    """The light that leaves the vehicles towards the camera.

    Args:
        surfaces: what is seen; only the pixels that are hit are worked on.
        eye: (3,) the camera.
        light: sun and sky.
        lit: (P,) how much of the sun reaches each hit pixel, 0..1.
        ground: (3,) mean light from the ground.

    Returns:
        (P, 3) linear.
    """
    hit = surfaces.hit
    albedo, normal = to_linear(surfaces.albedo[hit]), surfaces.normal[hit]
    material, position = surfaces.material[hit], surfaces.position[hit]
    view = np.asarray(eye, np.float32) - position
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    facing = (normal * view).sum(1, keepdims=True)
    normal = np.where(facing < 0, -normal, normal)  # the inside of a bed or of a wheel
    facing = np.abs(facing).clip(0.02, 1)
    sun = (normal @ light.sun).clip(0, 1) * lit
    upward = normal[:, 2:3] * 0.5 + 0.5
    # Close to the ground, under and between vehicles, less of the sky is seen.
    open_sky = (0.45 + 0.55 * (position[:, 2:3] / 0.9).clip(0, 1)).astype(np.float32)
    around = (light.zenith * 0.6 + light.horizon * 0.4) * upward * open_sky + ground * (1 - upward) * 0.6
    diffuse = albedo * (sun[:, None] * light.sun_colour + around)
    mirror = 2 * facing * normal - view
    gloss = np.float32(light.gloss)
    low, high = gloss * _NORMAL_MIRROR[material][:, None], _GRAZING_MIRROR[material][:, None]
    fresnel = low + (high - low) * (1 - facing) ** 5
    reflected = light.mirrored(mirror)
    seen_ground = ((0.05 - mirror[:, 2:3]) * 8).clip(0, 1)
    reflected = reflected + (ground - reflected) * seen_ground
    sharpness = _GLINT[material]
    glint = ((mirror @ light.sun).clip(0, 1) ** sharpness * np.sqrt(sharpness) * 0.5 * lit)[:, None] * light.sun_colour
    light_out: Image = (diffuse + fresnel * (reflected * open_sky + glint)).astype(np.float32)
    return light_out
