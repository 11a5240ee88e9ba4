"""Vehicles of one box, plain light and a few looks at meshes: what the generator's tests compare with."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.synthetic.scenes.light import Light
from training.synthetic.vehicles.atlas import Atlas, Colour
from training.synthetic.vehicles.body import Shape
from training.synthetic.vehicles.mesh import Material, Mesh, box, join
from training.synthetic.vehicles.vehicle import Vehicle

Array = NDArray[np.floating]
RED: Colour = (230, 20, 20)
GREEN: Colour = (20, 200, 20)
BLUE: Colour = (20, 20, 220)
GREY: Colour = (128, 128, 128)


def plain_shape(length: float, width: float, height: float) -> Shape:
    return Shape(
        length, width, height, 0.2, 0.7, 0.9, 0.9, (length * 0.25, length * 0.1), (-length * 0.2, -length * 0.4),
        0.2, 6.0, 4.0, ((-1.0, -0.9), (0.9, 1.0)),
    )  # fmt: skip


def as_vehicle(mesh: Mesh, picture: Image.Image, size: tuple[float, float, float]) -> Vehicle:
    return Vehicle("sedan", "red", (), plain_shape(*size), mesh, picture, (mesh.points,))


def block(
    colour: Colour = RED,
    lower: tuple[float, float, float] = (-2, -1, 0),
    upper: tuple[float, float, float] = (2, 1, 1.5),
    material: Material = Material.MATT,
) -> Vehicle:
    """A box of one colour."""
    atlas = Atlas(4, 2, 1.5, GREY)
    mesh = atlas.flat(box(lower, upper, material), colour)
    size = (upper[0] - lower[0], upper[1] - lower[1], upper[2] - lower[2])
    return as_vehicle(mesh, atlas.image, size)


def flag(length: float, width: float, lower: float, upper: float) -> Vehicle:
    """A box that is red in front and green behind."""
    atlas = Atlas(length, width, upper, GREY)
    front = atlas.flat(box((0, -width / 2, lower), (length / 2, width / 2, upper), Material.MATT), RED)
    rear = atlas.flat(box((-length / 2, -width / 2, lower), (0, width / 2, upper), Material.MATT), GREEN)
    return as_vehicle(join([front, rear]), atlas.image, (length, width, lower + upper))


def light_from(
    sun: tuple[float, float, float], strength: float = 2.0, softness: float = 0.0, sky: float = 0.3
) -> Light:
    """White sun and grey sky, without clouds, trees and houses."""
    direction = np.array(sun, np.float32)
    return Light(
        direction / np.float32(np.linalg.norm(direction)),
        np.full(3, strength, np.float32),
        np.full(3, sky, np.float32),
        np.full(3, sky, np.float32),
        np.zeros((128, 128), np.float32),
        np.full(90, -1, np.float32),
        softness,
    )


def faces(mesh: Mesh) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Middles and, by the right-hand rule, unit normals of all triangles that have an area; which those are."""
    corners = mesh.points[mesh.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    whole = area > 1e-7
    return corners.mean(1)[whole], normals[whole] / area[whole, None], whole


def colours_of(mesh: Mesh, picture: Image.Image, weights: tuple[float, float, float]) -> tuple[Array, Array]:
    """A place on each triangle and the atlas's colour there."""
    share = np.array(weights)[:, None]
    places = (mesh.points[mesh.triangles] * share).sum(1)
    uv = (mesh.uv[mesh.triangles] * share).sum(1)
    columns, rows = np.floor(uv * picture.size).astype(int).T
    return places, np.asarray(picture)[rows, columns].astype(float)
