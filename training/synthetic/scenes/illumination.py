"""Light on all that is seen, from surfaces to what reaches the camera."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.synthetic.scenes.ground import make_ground
from training.synthetic.scenes.light import Light
from training.synthetic.scenes.rasterizer import Surfaces
from training.synthetic.scenes.shading import shade_vehicles, to_linear
from training.synthetic.scenes.shadows import Shadows
from training.synthetic.scenes.viewpoint import Viewpoint
from training.synthetic.scenes.wet_ground import wet
from training.synthetic.vehicles.vehicle import Vehicle


def light_up(
    surfaces: Surfaces,
    viewpoint: Viewpoint,
    vehicle: Vehicle,
    neighbours: Sequence[Vehicle],
    light: Light,
    random: np.random.Generator,
    edition: int = 1,
    wetness: float = 0.0,
) -> NDArray[np.float32]:
    """Draws the ground, casts the shadows and shades every pixel.

    Args:
        surfaces: what is seen of the vehicles.
        viewpoint: from where.
        vehicle: the one at the origin.
        neighbours: who else casts shadows.
        light: sun and sky.
        random: draws the ground and what else casts shadows.
        edition: whose grounds and shadows.
        wetness: of the ground, 0..1.

    Returns:
        (H, W, 3) linear light.
    """
    points, hit = surfaces.position, surfaces.hit
    on_ground = points[~hit][:, :2]
    seen = np.concatenate([points[[0, 0, -1, -1], [0, -1, 0, -1], :2], on_ground]).astype(np.float64)
    area = seen.min(0) - 0.5, seen.max(0) + 0.5
    plan, colours = make_ground(*area, viewpoint.scale_px_per_m * 0.6, random, edition)
    shadows = Shadows(vehicle, neighbours, light, area, plan.px_per_m, random, edition)

    picture = np.empty((*hit.shape, 3), np.float32)
    sky = light.zenith * 0.6 + light.horizon * 0.4
    sunny = shadows.sun_on_ground(on_ground)[:, None]
    hidden = shadows.closeness(on_ground)[:, None]
    open_sky = 1 - 0.8 * hidden
    seen_ground = to_linear(plan.look_up(colours, on_ground)) * (
        light.sun[2] * light.sun_colour * sunny + sky * open_sky
    )
    if wetness:
        seen_ground = wet(seen_ground, on_ground, hidden, viewpoint.position, light, wetness, random)
    picture[~hit] = seen_ground

    mean_ground = to_linear(colours.mean((0, 1))) * (light.sun[2] * light.sun_colour * 0.6 + light.zenith * 0.8)
    lit = shadows.sun_on_vehicles(points[hit])
    picture[hit] = shade_vehicles(surfaces, viewpoint.position, light, lit, mean_ground.astype(np.float32))
    return picture
