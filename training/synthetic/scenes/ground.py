"""The ground that vehicles stand on: asphalt, concrete, paving, gravel or grass, with markings, patches and stains."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.synthetic.noise import smooth_noise
from training.synthetic.scenes.plan import Plan

_GROUNDS: Final[dict[str, tuple[float, tuple[int, int, int], float]]] = {
    # how common, colour, contrast of its texture
    "asphalt": (0.45, (94, 97, 101), 0.1),
    "dark asphalt": (0.3, (70, 74, 79), 0.12),
    "pale asphalt": (0.1, (146, 144, 140), 0.08),
    "concrete": (0.08, (164, 163, 160), 0.06),
    "paving": (0.05, (148, 141, 134), 0.08),
    "gravel": (0.02, (140, 132, 118), 0.2),
    "earth": (0.015, (118, 104, 86), 0.2),
    "grass": (0.03, (86, 94, 70), 0.25),
}
_SHARES_2: Final = (0.38, 0.3, 0.1, 0.07, 0.04, 0.03, 0.04, 0.04)  # how common they are in edition 2
_WHITE: Final = (222, 222, 216)


def make_ground(
    lower: NDArray[np.floating],
    upper: NDArray[np.floating],
    px_per_m: float,
    random: np.random.Generator,
    edition: int = 1,
) -> tuple[Plan, NDArray[np.float32]]:
    """Ground for the area between two corners, around a vehicle at the origin that points along x.

    Returns:
        The plan, and its colours as (H, W, 3) float32 in sRGB, 0..255.
    """
    names = list(_GROUNDS)
    weights = np.array([share for share, _, _ in _GROUNDS.values()] if edition == 1 else _SHARES_2)
    name = names[random.choice(len(names), p=weights / weights.sum())]
    _, colour, contrast = _GROUNDS[name]
    tint = np.clip(np.array(colour) * random.uniform(0.75, 1.25) + random.normal(0, 2, 3), 10, 245)
    plan = Plan(lower, upper, px_per_m, "RGB", tuple(int(c) for c in tint))
    # Most vehicles stand along the road, but not all: the road must not give the heading away.
    angle = np.deg2rad(random.normal(0, 4) if random.random() < 0.65 else random.uniform(0, 360))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    if name == "concrete":
        _tiles(plan, turn, random.uniform(3, 6), random.uniform(3, 6), tuple(int(c * 0.8) for c in tint), 0.04)
    if name == "paving":
        step = random.uniform(0.2, 0.6)
        _tiles(plan, turn, step, step, tuple(int(c * 0.85) for c in tint), 0.025)
    _verge(plan, turn, random)
    for _ in range(int(random.poisson(1.2))):
        _patch(plan, turn, tint, random)
    if "asphalt" in name or name == "concrete":
        _markings(plan, turn, random)
    _wear(plan, turn, tint, random)
    picture = np.asarray(plan.image, np.float32)
    metres = max(plan.size) / px_per_m
    if edition != 1:
        contrast *= random.uniform(0.15, 1)  # most roads are smooth
        if name == "earth":
            _ruts(plan, turn, tint, random)
            picture = np.asarray(plan.image, np.float32)
    fine = smooth_noise(random, plan.size, min(plan.size[1] / 3, metres * 6), 3, 0.9)
    broad = smooth_noise(random, plan.size, max(2, metres / 4), 3)
    return plan, (picture * (1 + contrast * (0.2 * fine + 0.6 * broad))[..., None]).clip(0, 255)


def _ruts(plan: Plan, turn: NDArray[np.floating], tint: NDArray[np.floating], random: np.random.Generator) -> None:
    """What wheels leave on a dirt road, and grass between them."""
    middle = random.normal(0, 0.5)
    light, green = tuple(int(c) for c in (tint * 1.12).clip(0, 245)), tuple(int(c) for c in tint * [0.8, 0.9, 0.72])
    if random.random() < 0.6:
        plan.strip(np.array([-60, middle]) @ turn, np.array([60, middle]) @ turn, random.uniform(0.3, 0.7), green)
    for side in (-0.8, 0.8):
        plan.strip(np.array([-60, middle + side]) @ turn, np.array([60, middle + side]) @ turn, 0.45, light)


def _tiles(plan: Plan, turn: NDArray[np.floating], dx: float, dy: float, colour: tuple[int, ...], width: float) -> None:
    """Joints between slabs."""
    reach = float(max(plan.size)) / plan.px_per_m
    for x in np.arange(-reach, reach, dx):
        plan.strip(np.array([x, -reach]) @ turn, np.array([x, reach]) @ turn, width, colour)
    for y in np.arange(-reach, reach, dy):
        plan.strip(np.array([-reach, y]) @ turn, np.array([reach, y]) @ turn, width, colour)


def _verge(plan: Plan, turn: NDArray[np.floating], random: np.random.Generator) -> None:
    """Another ground beyond a kerb, on one side or both."""
    for side in (-1, 1):
        if random.random() > 0.3:
            continue
        start = side * random.uniform(1.3, 4.5)
        _, colour, _ = list(_GROUNDS.values())[random.choice([3, 4, 7, 7, 6])]
        tint = tuple(int(c * random.uniform(0.8, 1.15)) for c in colour)
        points = np.array([[-60, start], [60, start], [60, side * 60], [-60, side * 60]]) @ turn
        plan.polygon(points, tint)
        if random.random() < 0.7:
            kerb = int(random.uniform(120, 200))
            plan.strip(np.array([-60, start]) @ turn, np.array([60, start]) @ turn, 0.15, (kerb, kerb, kerb))


def _patch(plan: Plan, turn: NDArray[np.floating], tint: NDArray[np.floating], random: np.random.Generator) -> None:
    """A repair of another shade, or a manhole's cover."""
    centre = random.uniform(-7, 7, 2)
    shade = tuple(int(c) for c in np.clip(tint * random.choice([0.7, 0.8, 0.88, 1.12, 1.2]), 0, 255))
    if random.random() < 0.3:
        angles = np.linspace(0, 2 * np.pi, 16)
        plan.polygon((centre + 0.35 * np.stack([np.cos(angles), np.sin(angles)], 1)) @ turn, shade)
        return
    half = random.uniform(0.3, 3, 2)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + centre
    plan.polygon(corners @ turn, shade)


def _markings(plan: Plan, turn: NDArray[np.floating], random: np.random.Generator) -> None:
    """Lanes, parking bays, a crossing, an arrow, hatching; worn more or less."""
    wear = random.uniform(0.5, 0.92)
    colour = tuple(int(c * wear) for c in (_WHITE if random.random() < 0.88 else (214, 172, 60)))
    form = ("lanes", "bays", "crossing", "none")[random.choice(4, p=[0.42, 0.3, 0.08, 0.2])]
    shift = random.normal(0, 0.4)
    if form == "lanes":
        width = random.uniform(2.8, 3.8)
        for number in range(-3, 3):
            y = (number + 0.5) * width + shift
            solid = random.random() < 0.35
            start = random.uniform(-3, 0)
            for x in [-60.0] if solid else np.arange(-30 + start, 30, 6.0):
                length = 120.0 if solid else 3.0
                plan.strip(np.array([x, y]) @ turn, np.array([x + length, y]) @ turn, 0.13, colour)
        if random.random() < 0.25:
            x, y = random.uniform(-7, 7), shift
            plan.strip(np.array([x, y]) @ turn, np.array([x + 2, y]) @ turn, 0.16, colour)
            head = np.array([[x + 2, y - 0.4], [x + 3, y], [x + 2, y + 0.4]])
            plan.polygon(head @ turn, colour)
    elif form == "bays":
        width, depth = random.uniform(2.3, 2.9), random.uniform(4.6, 5.6)
        slant = random.choice([0, 0, 0, 0.5, -0.5])
        for number in range(-8, 8):
            y = (number + 0.5) * width + shift
            ends = np.array([[-depth / 2, y - slant * depth / 2], [depth / 2, y + slant * depth / 2]])
            plan.strip(ends[0] @ turn, ends[1] @ turn, 0.1, colour)
        if random.random() < 0.6:
            x = random.choice([-1, 1]) * depth / 2
            plan.strip(np.array([x, -30]) @ turn, np.array([x, 30]) @ turn, 0.1, colour)
    elif form == "crossing":
        x = random.uniform(2.5, 6) * random.choice([-1, 1])
        for y in np.arange(-12, 12, 1.0):
            plan.strip(np.array([x - 1.5, y]) @ turn, np.array([x + 1.5, y]) @ turn, 0.5, colour)


def _wear(plan: Plan, turn: NDArray[np.floating], tint: NDArray[np.floating], random: np.random.Generator) -> None:
    """Tracks, cracks, oil."""
    dark = tuple(int(c * 0.8) for c in tint)
    if random.random() < 0.3:
        for y in (-0.8, 0.8):
            offset = random.normal(0, 0.3)
            plan.strip(
                np.array([-60, y + offset]) @ turn,
                np.array([60, y + offset]) @ turn,
                0.3,
                tuple(int(c * 0.93) for c in tint),
            )
    for _ in range(int(random.poisson(1.0))):
        steps = random.normal(0, 0.5, (12, 2)) + random.normal(0, 0.6, 2)
        line = random.uniform(-7, 7, 2) + np.cumsum(steps, 0)
        plan.draw.line(plan.pixels(line), fill=dark, width=max(1, round(0.03 * plan.px_per_m)))
    for _ in range(int(random.poisson(0.8))):
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        radius = random.uniform(0.1, 0.5) * random.uniform(0.6, 1.3, 14)
        blob = random.uniform(-5, 5, 2) + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        plan.polygon(blob, tuple(int(c * 0.6) for c in tint))
