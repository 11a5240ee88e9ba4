"""What of the vehicles is seen through each pixel: VTK draws their colours, normals and materials, off-screen."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# One drawing thread for each process: the processes are what runs in parallel. Mesa reads it when it is loaded.
os.environ.setdefault("LP_NUM_THREADS", "1")
# VTK would first ask for an X server, and complain that there is none; and a graphics card would round otherwise.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

import numpy as np

try:
    import pyvista
except ModuleNotFoundError:
    raise ModuleNotFoundError("pyvista is not installed: make setup does it, or pip install '.[synthetic]'") from None
from numpy.typing import NDArray
from PIL import Image
from vtkmodules.vtkCommonCore import vtkFloatArray, vtkUnsignedCharArray

from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.vehicles.mesh import Mesh
from training.synthetic.vehicles.vehicle import Vehicle


@dataclass(frozen=True)
class Surfaces:
    """The vehicles' surfaces nearest to the camera, (H, W, ...) from the picture's upper left corner.

    Attributes:
        hit: whether there is one.
        albedo: (H, W, 3) uint8, in sRGB.
        normal: (H, W, 3) float32, of unit length.
        material: (H, W) values of `Material`.
        position: (H, W, 3) float32, metres; on the ground where nothing is hit.
        own: whether it is of the first vehicle.
    """

    hit: NDArray[np.bool_]
    albedo: NDArray[np.uint8]
    normal: NDArray[np.float32]
    material: NDArray[np.uint8]
    position: NDArray[np.float32]
    own: NDArray[np.bool_]


class Rasterizer:
    """A window that nobody sees, with the same scene drawn three times side by side.

    Args:
        largest_px: a side of the largest picture. The last bits of where an edge falls depend on it, because they
            depend on where in the window the picture lies.
    """

    def __init__(self, largest_px: int = 640) -> None:
        self._largest_px = largest_px
        self._plotter = pyvista.Plotter(
            off_screen=True, shape=(1, 3), border=False, window_size=[3 * largest_px, largest_px], lighting="none"
        )
        window: Any = self._plotter.ren_win
        self._window = window
        window.SetMultiSamples(0)
        for renderer in self._plotter.renderers:
            renderer.SetBackground(0, 0, 0)

    def draw(self, vehicles: Sequence[Vehicle], viewpoint: Viewpoint, size: tuple[int, int]) -> Surfaces:
        """Draws vehicles with their atlases.

        Args:
            vehicles: where they stand in the world; `Surfaces.own` tells the first from the others.
            viewpoint: its target lies in the middle of the picture.
            size: (W, H) pixels, at most `largest_px` each.

        Raises:
            ValueError: a picture larger than the window.
        """
        width, height = size
        if max(size) > self._largest_px:  # beyond the window's edge there is only uninitialised memory to read
            raise ValueError(f"a picture has at most {self._largest_px} pixels a side, got {width} x {height}")
        actors = [self._add(vehicle.mesh, vehicle.picture, index == 0) for index, vehicle in enumerate(vehicles)]
        window = self._window
        near, far = self._aim(viewpoint, size, [vehicle.mesh for vehicle in vehicles])
        window.Render()
        colours = [self._read(index, width, height) for index in range(3)]
        depths = vtkFloatArray()
        window.GetZbufferData(0, 0, width - 1, height - 1, depths)
        for group in actors:
            for renderer, actor in zip(self._plotter.renderers, group, strict=True):
                renderer.RemoveActor(actor)
                actor.ReleaseGraphicsResources(window)
        depth = np.asarray(depths).reshape(height, width)[::-1]
        hit = depth < 1
        columns = np.arange(width) + 0.5 - width / 2
        rows = np.arange(height) + 0.5 - height / 2
        rays = viewpoint.rays(*np.meshgrid(columns, rows))
        forward = viewpoint.axes[2].astype(np.float32)
        eye = viewpoint.position
        to_ground = np.float32(-eye[2]) / np.minimum(rays[..., 2], -1e-3)
        along = near * far / (far - depth * (far - near))  # along the line of sight
        reach = np.where(hit, along / (rays @ forward), to_ground)
        normal = colours[1].astype(np.float32) / 127.5 - 1
        normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-3)
        position = (eye + rays * reach[..., None]).astype(np.float32)
        own = hit & (colours[2][..., 1] > 127)
        return Surfaces(hit, colours[0], normal, (colours[2][..., 0] + 32) // 64, position, own)

    def _add(self, mesh: Mesh, picture: Image.Image, is_own: bool) -> list[Any]:
        faces = np.insert(mesh.triangles, 0, 3, axis=1).reshape(-1)
        data = pyvista.PolyData(mesh.points, faces)
        data.active_texture_coordinates = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], 1)
        data["normal"] = np.round((mesh.normals + 1) * 127.5).astype(np.uint8)
        # Numbers as greys, far enough apart that no rounding mixes them up.
        owner = np.full_like(mesh.material, 255 if is_own else 0)
        data["material"] = np.stack([mesh.material * 64, owner, owner], 1)
        texture: Any = pyvista.Texture(np.asarray(picture))  # type: ignore[no-untyped-call]
        texture.MipmapOn()
        texture.InterpolateOn()
        actors: list[Any] = []
        for renderer, name in zip(self._plotter.renderers, (None, "normal", "material"), strict=True):
            mapper = pyvista.DataSetMapper(data)
            actor = pyvista.Actor(mapper)
            if name is None:
                mapper.scalar_visibility = False
                actor.texture = texture
            else:
                mapper.SetScalarModeToUsePointFieldData()
                mapper.SelectColorArray(name)
                mapper.SetColorModeToDirectScalars()
            actor.prop.lighting, actor.prop.color = False, "white"
            renderer.AddActor(actor)
            actors.append(actor)
        return actors

    def _aim(self, viewpoint: Viewpoint, size: tuple[int, int], meshes: Sequence[Mesh]) -> tuple[float, float]:
        width, height = size
        focal = viewpoint.scale_px_per_m * viewpoint.distance_m
        _, up, forward = viewpoint.axes
        eye = viewpoint.position
        depths = np.concatenate([(mesh.points - eye) @ forward for mesh in meshes])
        near, far = max(0.5, float(depths.min()) - 0.5), float(depths.max()) + 0.5
        for index, renderer in enumerate(self._plotter.renderers):
            left = index * self._largest_px
            whole = 3 * self._largest_px
            renderer.SetViewport(left / whole, 0, (left + width) / whole, height / self._largest_px)
            camera = renderer.GetActiveCamera()
            camera.SetPosition(*eye)
            camera.SetFocalPoint(*(eye + forward))
            camera.SetViewUp(*up)
            camera.SetViewAngle(float(np.rad2deg(2 * np.arctan(height / 2 / focal))))
            camera.SetClippingRange(near, far)
        return near, far

    def _read(self, index: int, width: int, height: int) -> NDArray[np.uint8]:
        pixels = vtkUnsignedCharArray()
        left = index * self._largest_px
        self._window.GetPixelData(left, 0, left + width - 1, height - 1, 0, pixels, 0)
        return np.array(pixels, np.uint8).reshape(height, width, 3)[::-1]
