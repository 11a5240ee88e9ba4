"""The shells of a vehicle: the lower body with bonnet and boot, and the cabin with its windows. x points forward."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.synthetic.vehicles.mesh import Material, Mesh, grid, join, signed_power

_SIDE_STEP = 0.12  # no cell of a window's frame is longer, in units of half the cabin
_RIM_M = 0.05  # how far the roof bends down at its edge
_UP_BODY = np.linspace(0.0, np.pi, 25)


@dataclass(frozen=True)
class Shape:
    """A vehicle's proportions, in metres; x runs from the rear bumper at −length / 2 to the front one.

    Attributes:
        length, width, height: over all, without mirrors.
        clearance: between ground and sill.
        nose: height of the bonnet at the front.
        belt: height of the windows' lower edge; the bonnet meets the windscreen there.
        deck: height of the boot, or of what lies behind the cabin.
        windscreen: x of its foot, and of the roof's front edge.
        rear_window: x of the roof's rear edge, and of the window's foot.
        tumblehome: how far each side leans inwards from the belt to the roof.
        roundness: exponent of the outline seen from above; 4 is round, 12 a box.
        corners: exponent of the cabin's outline; 4 is round, 12 a box.
        pillars: along the cabin's side, −1 (rear) to 1 (front): where each post is, as (start, end).
        glazed_rear: whether the cabin has a rear window.
        taper: by which part the cabin is wider in front and narrower behind than in its middle.
        tail_roundness: `roundness` of the rear half; None if it is the front's.
        wheel_scale: the wheels' size, of what is usual for the type.
    """

    length: float
    width: float
    height: float
    clearance: float
    nose: float
    belt: float
    deck: float
    windscreen: tuple[float, float]
    rear_window: tuple[float, float]
    tumblehome: float
    roundness: float
    corners: float
    pillars: tuple[tuple[float, float], ...]
    glazed_rear: bool = True
    taper: float = 0.0
    tail_roundness: float | None = None
    wheel_scale: float = 1.0

    def roof_height(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
        """The roof's z above (x, y): lower towards its edges."""
        centre, half_length, half_width = self.roof_outline
        out = np.abs((x - centre) / half_length) ** self.corners + np.abs(y / half_width) ** self.corners
        out = np.minimum(out, 1.2) ** (1 / self.corners)  # 0 in the middle, 1 along the edge
        height: NDArray[np.floating] = self.height - self.crown * out**2 - _RIM_M * out**14
        return height

    @property
    def crown(self) -> float:
        """How much higher the roof's middle is than its edge."""
        return 0.08 if self.height < 2 else 0.04

    @property
    def roof_outline(self) -> tuple[float, float, float]:
        """The x of the roof's centre, half its length, half its width."""
        front, rear = self.windscreen[1], self.rear_window[0]
        return (front + rear) / 2, (front - rear) / 2, self.width / 2 - 0.06 - self.tumblehome


def lower_body(shape: Shape) -> Mesh:
    """Everything below the belt: sections like half a superellipse, lofted from bumper to bumper."""
    half = shape.length / 2
    s = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 61))  # closer together towards the ends
    foot_front, foot_rear = shape.windscreen[0] / half, shape.rear_window[1] / half
    tops = [shape.deck - 0.04, shape.deck, shape.belt, shape.belt, shape.nose]
    top = np.interp(s, [-1, foot_rear - 0.02, foot_rear + 0.02, foot_front, 1.0], tops)
    ends = (1 - np.abs(s) ** 24) ** 0.25
    top = shape.clearance + (top - shape.clearance) * (0.72 + 0.28 * ends)
    plan = np.maximum(1 - np.abs(s) ** shape.roundness, 0) ** (1 / 2.9)
    if shape.tail_roundness is not None:
        plan = np.where(s < 0, np.maximum(1 - np.abs(s) ** shape.tail_roundness, 0) ** (1 / 2.9), plan)
    angle = _UP_BODY[None, :]
    y = -shape.width / 2 * plan[:, None] * signed_power(np.cos(angle), 0.42)
    z = shape.clearance + (top - shape.clearance)[:, None] * np.sin(angle) ** 0.5
    y = y * (1 - 0.05 * ((z - shape.clearance) / (shape.belt - shape.clearance)) ** 2)
    x = np.broadcast_to((s * half)[:, None], y.shape)
    # Seen from its outside, the first index must go up and the second to the right: along the body, then across.
    return grid(np.stack([x, y, z], -1).transpose(1, 0, 2), Material.PAINT)


def cabin(shape: Shape) -> Mesh:
    """The greenhouse: windscreen, side windows between their posts, rear window, and the roof."""
    ring, panels = _ring(shape)
    levels = np.array([0.0, 0.05, 0.5, 0.93, 1.0])
    front = np.interp(levels, [0, 1], shape.windscreen) + 0.03 * np.sin(levels * np.pi)
    rear = np.interp(levels, [0, 1], shape.rear_window[::-1]) - 0.03 * np.sin(levels * np.pi)
    edge = shape.height - shape.crown - _RIM_M
    half_width = shape.width / 2 - 0.06 - shape.tumblehome * levels
    walls = np.stack(
        [
            ((front + rear) / 2)[:, None] + ((front - rear) / 2)[:, None] * ring[None, :, 0],
            half_width[:, None] * ring[None, :, 1] * (1 + shape.taper * ring[None, :, 0]),
            np.broadcast_to((shape.belt - 0.03 + (edge - shape.belt + 0.03) * levels)[:, None], (5, len(ring))),
        ],
        -1,
    )
    panes = np.zeros((4, len(ring) - 1), np.uint8)
    panes[1:3] = panels
    centre, half_length, half_roof = shape.roof_outline
    shrink = np.array([1, 0.985, 0.96, 0.92, 0.84, 0.7, 0.4, 0.0])[:, None, None]
    flat = ring[None] * shrink * np.array([half_length, half_roof])
    x, y = flat[..., 0] + centre, flat[..., 1] * (1 + shape.taper * ring[None, :, 0] * shrink[..., 0])
    z = shape.height - np.broadcast_to(shape.crown * shrink[..., 0] ** 2 + _RIM_M * shrink[..., 0] ** 14, x.shape)
    return join([grid(walls, panes), grid(np.stack([x, y, z], -1), Material.PAINT)])


def _ring(shape: Shape) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
    """The cabin's outline as (J, 2) numbers in −1..1, counter-clockwise, and what the J − 1 pieces are made of."""
    side = sorted({-1.0, 1.0, *(edge for pillar in shape.pillars for edge in pillar)}, reverse=True)
    panels = [_panel((a + b) / 2, shape.pillars) for a, b in pairwise(side)]
    rear = Material.GLASS if shape.glazed_rear else Material.PAINT
    across = [-1.0, -0.94, 0.94, 1.0]
    corners: list[tuple[float, float]] = []
    materials: list[Material] = []

    def run(stops: list[float], panes: list[Material], place: str) -> None:
        for (a, b), pane in zip(pairwise(stops), panes, strict=True):
            pieces = max(1, int(np.ceil(abs(b - a) / _SIDE_STEP)))
            for t in np.linspace(a, b, pieces, endpoint=False):
                corners.append({"front": (1, t), "left": (t, 1), "rear": (-1, t), "right": (t, -1)}[place])
                materials.append(pane)

    run(across, [Material.PAINT, Material.GLASS, Material.PAINT], "front")
    run(side, panels, "left")
    run(across[::-1], [Material.PAINT, rear, Material.PAINT], "rear")
    run(side[::-1], panels[::-1], "right")
    corners.append(corners[0])
    square = np.array(corners, np.float64)
    norm = (np.abs(square) ** shape.corners).sum(1) ** (1 / shape.corners)
    return square / norm[:, None], np.array(materials, np.uint8)


def _panel(place: float, pillars: tuple[tuple[float, float], ...]) -> Material:
    """What a cabin's side is made of there: posts between windows are dark, those at the ends are painted."""
    for low, high in pillars:
        if low <= place <= high:
            return Material.MATT if low > -1 and high < 1 else Material.PAINT
    return Material.GLASS
