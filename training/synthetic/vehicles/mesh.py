"""Triangle meshes made of grids, rings and boxes: what every procedural vehicle is built from. Metres, z up."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Material(IntEnum):
    """How a surface reflects; its colour lies in the vehicle's atlas."""

    PAINT = 0
    GLASS = 1
    MATT = 2
    CHROME = 3


@dataclass(frozen=True)
class Mesh:
    """A surface.

    Attributes:
        points: (N, 3) metres.
        normals: (N, 3), of unit length, pointing outwards.
        triangles: (T, 3) indices of points.
        uv: (N, 2) where in the atlas each point's colour lies: columns and rows in 0..1, from its upper left corner.
        material: (N,) values of `Material`.
    """

    points: FloatArray
    normals: FloatArray
    triangles: NDArray[np.int32]
    uv: FloatArray
    material: NDArray[np.uint8]

    def moved(self, offset: tuple[float, float, float], turn_deg: float = 0.0) -> "Mesh":
        """The mesh turned counter-clockwise about the z axis, then moved."""
        turn = turn_about_z(turn_deg)
        return replace(self, points=self.points @ turn + np.asarray(offset, np.float32), normals=self.normals @ turn)

    def part(self, chosen: NDArray[np.bool_]) -> "Mesh":
        """Some of the triangles, (T,), with the points that they need."""
        used, corners = np.unique(self.triangles[chosen], return_inverse=True)
        triangles = corners.reshape(-1, 3).astype(np.int32)
        return Mesh(self.points[used], self.normals[used], triangles, self.uv[used], self.material[used])


def turn_about_z(angle_deg: float) -> FloatArray:
    """(3, 3) that turns points, (N, 3) multiplied from the right, counter-clockwise about the z axis."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)


def join(meshes: Iterable[Mesh]) -> Mesh:
    """All surfaces as one mesh."""
    meshes = list(meshes)
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.points for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.triangles + np.int32(start) for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.material for mesh in meshes]),
    )


def grid(points: NDArray[np.floating], material: Material | NDArray[np.uint8] = Material.PAINT) -> Mesh:
    """A surface from a grid of points.

    Args:
        points: (I, J, 3); the first index going up and the second to the right, its outside faces the viewer.
        material: of all cells, or (I - 1, J - 1) one for each; cells of different material share no point, so that
            the border between them is sharp.
    """
    points = np.asarray(points, np.float32)
    rows, columns = points.shape[:2]
    along_i, along_j = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals = np.cross(along_j, along_i)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), np.array([0, 0, 1])).astype(np.float32)
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    cells = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)  # (I - 1, J - 1, 2, 3)
    materials = np.broadcast_to(np.asarray(material, np.uint8), cells.shape[:2])
    flat_points, flat_normals = points.reshape(-1, 3), normals.reshape(-1, 3)
    parts = []
    for value in np.unique(materials):
        used, triangles = np.unique(cells[materials == value].reshape(-1), return_inverse=True)
        parts.append(
            Mesh(
                flat_points[used],
                flat_normals[used],
                triangles.reshape(-1, 3).astype(np.int32),
                np.zeros((len(used), 2), np.float32),
                np.full(len(used), value, np.uint8),
            )
        )
    return join(parts)


def box(lower: tuple[float, float, float], upper: tuple[float, float, float], material: Material) -> Mesh:
    """An axis-aligned box with sharp edges, without its bottom, which no drone sees."""
    (x0, y0, z0), (x1, y1, z1) = lower, upper
    faces = [
        [[(x0, y0, z1), (x1, y0, z1)], [(x0, y1, z1), (x1, y1, z1)]],  # top
        [[(x1, y0, z0), (x1, y1, z0)], [(x1, y0, z1), (x1, y1, z1)]],  # front
        [[(x0, y1, z0), (x0, y0, z0)], [(x0, y1, z1), (x0, y0, z1)]],  # rear
        [[(x1, y1, z0), (x0, y1, z0)], [(x1, y1, z1), (x0, y1, z1)]],  # left
        [[(x0, y0, z0), (x1, y0, z0)], [(x0, y0, z1), (x1, y0, z1)]],  # right
    ]
    return join(grid(np.array(face), material) for face in faces)


def signed_power(value: NDArray[np.floating], exponent: float) -> NDArray[np.floating]:
    """``sign(v) |v|^e``, of which superellipses are made."""
    power: NDArray[np.floating] = np.sign(value) * np.abs(value) ** exponent
    return power


def ellipsoid(
    centre: tuple[float, float, float], radii: tuple[float, float, float], squareness: float, material: Material
) -> Mesh:
    """A superellipsoid: squareness 2 is an ellipsoid, 8 a box with rounded edges."""
    up = np.linspace(-np.pi / 2, np.pi / 2, 9)[:, None]
    around = np.linspace(-np.pi, np.pi, 25)[None, :]
    power = 2 / squareness
    x = signed_power(np.cos(up), power) * signed_power(np.cos(around), power)
    y = signed_power(np.cos(up), power) * signed_power(np.sin(around), power)
    z = signed_power(np.sin(up), power) * np.ones_like(around)
    return grid(np.stack([x, y, z], -1) * np.array(radii) + np.array(centre), material)


def wheel(centre: tuple[float, float, float], radius: float, width: float) -> tuple[Mesh, Mesh]:
    """A tyre, whose axis is y, and the disc of its rim on both sides."""
    around = np.linspace(0, 2 * np.pi, 21)
    ring = np.stack([np.cos(around), np.zeros_like(around), np.sin(around)], -1)
    half = np.array([0, width / 2, 0])
    profile = [(0.6, -1.0), (0.92, -1.0), (1.0, -0.8), (1.0, 0.8), (0.92, 1.0), (0.6, 1.0)]
    tyre = grid(np.stack([ring * radius * r + half * s for r, s in profile], axis=1) + np.array(centre), Material.MATT)
    discs = [
        grid(np.stack([ring * radius * r + half * s * 0.95 for r in radii], axis=1) + np.array(centre), Material.CHROME)
        for s, radii in ((1, (0.62, 0.01)), (-1, (0.01, 0.62)))
    ]
    return tyre, join(discs)
