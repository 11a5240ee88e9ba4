"""How edition 2 paints a body: bonnets, creases, lamps, grilles and bumpers of many makes."""

from typing import Final

import numpy as np

from training.synthetic.noise import smooth_noise
from training.synthetic.vehicles.atlas import Atlas, Colour
from training.synthetic.vehicles.body import Shape
from training.synthetic.vehicles.livery import BLACK, darker, paint_sides

_HEADLAMPS: Final[tuple[Colour, ...]] = (
    (206, 210, 214),
    (150, 156, 162),
    (96, 102, 108),
    (52, 56, 60),
    (228, 230, 228),
)
_TAIL_LAMPS: Final[tuple[Colour, ...]] = ((140, 20, 22), (104, 14, 18), (176, 36, 34), (70, 16, 20), (150, 60, 56))


def style_body(atlas: Atlas, shape: Shape, kind: str, paint: Colour, random: np.random.Generator) -> None:
    """Draws what the body's panels show, in a design of this vehicle's own."""
    gap = darker(paint, random.uniform(0.4, 0.8))
    # Paint is never even: flakes, curved panels and polish lighten and darken it over half a metre.
    atlas.shade("top", 1 + np.float32(random.uniform(0.01, 0.06)) * smooth_noise(random, (16, 40), 3, 2))
    if kind != "bus":
        _bonnet(atlas, shape, paint, gap, random)
        _boot(atlas, shape, kind, gap, random)
        _roof(atlas, shape, paint, random)
    paint_sides(atlas, shape, kind, gap, random)
    _front(atlas, shape, paint, random)
    _rear(atlas, shape, kind, paint, random)


def _bonnet(atlas: Atlas, shape: Shape, paint: Colour, gap: Colour, random: np.random.Generator) -> None:
    half, side, foot = shape.length / 2, shape.width / 2, shape.windscreen[0]
    inner = side * random.uniform(0.66, 0.9)
    nose = half - random.uniform(0.06, 0.34)
    narrow, bow = random.uniform(0.68, 0.98), random.uniform(0, 0.16)
    across = np.linspace(-1, 1, 9)
    edge = [(nose + bow * (1 - y * y), y * inner * narrow) for y in across]
    outline = [(foot, -inner), *edge, (foot, inner)]
    atlas.line("top", outline, gap, random.uniform(0.015, 0.03))
    lighter, deeper = 1 + random.uniform(0.03, 0.2), 1 - random.uniform(0.04, 0.22)
    if random.random() < 0.3:  # a raised middle
        middle = inner * random.uniform(0.25, 0.5)
        atlas.polygon("top", [(foot, -middle), (nose, -middle * 0.7), (nose, middle * 0.7), (foot, middle)],
                      darker(paint, 1 + random.uniform(-0.08, 0.1)))  # fmt: skip
    for _ in range(int(random.integers(0, 3))):
        start, end = inner * random.uniform(0.3, 0.95, 2)
        for sign in (-1, 1):  # creases catch the light on one side and lose it on the other
            crease = [(foot, sign * start), (nose, sign * end)]
            atlas.line("top", crease, darker(paint, lighter), 0.05)
            atlas.line("top", [(x, y - sign * 0.05) for x, y in crease], darker(paint, deeper), 0.04)
    depth = random.uniform(0.02, 0.1)
    atlas.rectangle("top", (foot - 0.06, -side * 0.8), (foot + depth, side * 0.8), BLACK)  # the wipers' well


def _boot(atlas: Atlas, shape: Shape, kind: str, gap: Colour, random: np.random.Generator) -> None:
    if kind not in ("sedan", "coupe") or shape.rear_window[1] + shape.length / 2 < 0.3:
        return
    inner = shape.width / 2 * random.uniform(0.66, 0.86)
    tail = -shape.length / 2 + random.uniform(0.04, 0.16)
    foot = shape.rear_window[1]
    narrow = random.uniform(0.78, 1.0)
    lid = [(foot, -inner), (tail, -inner * narrow), (tail, inner * narrow), (foot, inner)]
    atlas.line("top", [*lid, lid[0]], gap, random.uniform(0.015, 0.03))
    if random.random() < 0.3:
        x = (foot + tail) / 2
        atlas.line("top", [(x, -inner), (x, inner)], gap, 0.03)


def _roof(atlas: Atlas, shape: Shape, paint: Colour, random: np.random.Generator) -> None:
    """Ditches along its sides, and ribs."""
    centre, half_length, half_width = shape.roof_outline
    if random.random() < 0.5:
        y = half_width * random.uniform(0.84, 0.96)
        dark = darker(paint, random.uniform(0.5, 0.85)) if random.random() < 0.7 else BLACK
        for sign in (-1, 1):
            atlas.line("top", [(centre - half_length, sign * y), (centre + half_length, sign * y)], dark, 0.03)
    if random.random() < (0.6 if shape.height > 1.9 else 0.12):
        for y in np.linspace(-0.6, 0.6, int(random.integers(2, 6))) * half_width:
            atlas.line("top", [(centre - half_length * 0.9, y), (centre + half_length * 0.8, y)],
                       darker(paint, random.uniform(0.8, 0.93)), 0.04)  # fmt: skip


def _front(atlas: Atlas, shape: Shape, paint: Colour, random: np.random.Generator) -> None:
    half, side, nose = shape.length / 2, shape.width / 2, shape.nose
    lamp = _HEADLAMPS[random.integers(len(_HEADLAMPS))]
    bumper = (26, 26, 28) if random.random() < 0.3 else paint
    grille: Colour = (20, 20, 22) if random.random() < 0.8 else (150, 152, 155)
    width, depth = side * random.uniform(0.25, 0.8), random.uniform(0.08, 0.4)
    atlas.rectangle("front", (-side, shape.clearance), (side, shape.clearance + 0.16), bumper)
    atlas.rectangle("front", (-width, max(nose - 0.08 - depth, shape.clearance)), (width, nose - 0.08), grille)
    atlas.rectangle("front", (-0.26, shape.clearance + 0.18), (0.26, shape.clearance + 0.29), (226, 226, 220))
    if random.random() < 0.35:  # a grille or a dark strip that bends over the nose
        atlas.rectangle("top", (half - random.uniform(0.02, 0.1), -width), (half, width), grille)
    form = ("wedge", "wedge", "slim", "round")[random.integers(4)]
    reach, at = random.uniform(0.12, 0.6), random.uniform(0.45, 0.8)
    for sign in (-1, 1):
        inner, outer = sign * side * at, sign * side
        atlas.rectangle("front", (inner, nose - random.uniform(0.1, 0.24)), (outer, nose - 0.04), lamp)
        if form == "round":
            atlas.disc("top", (half - 0.12, sign * side * random.uniform(0.68, 0.78)), 0.11, lamp)
        elif form == "slim":
            atlas.polygon("top", [(half, inner), (half - 0.07, inner), (half - 0.2, outer), (half - 0.1, outer)], lamp)
        else:
            corner = (half - reach, outer * random.uniform(0.88, 0.99))
            atlas.polygon("top", [(half, inner), (half - 0.1, inner), corner, (half, outer)], lamp)


def _rear(atlas: Atlas, shape: Shape, kind: str, paint: Colour, random: np.random.Generator) -> None:
    half, side = shape.length / 2, shape.width / 2
    lamp = _TAIL_LAMPS[random.integers(len(_TAIL_LAMPS))]
    top = shape.belt if kind not in ("van", "bus", "truck") else shape.clearance + 0.6
    at, reach, height = random.uniform(0.4, 0.85), random.uniform(0.02, 0.4), random.uniform(0.1, 0.4)
    for sign in (-1, 1):
        inner, outer = sign * side * at, sign * side
        atlas.rectangle("rear", (inner, top - 0.08 - height), (outer, top - 0.08), lamp)
        atlas.polygon("top", [(-half, inner), (-half + 0.03, inner), (-half + reach, outer), (-half, outer)], lamp)
    if random.random() < 0.15:  # one lamp from side to side
        atlas.rectangle("rear", (-side, top - 0.18), (side, top - 0.1), lamp)
        atlas.rectangle("top", (-half, -side), (-half + 0.05, side), lamp)
    bumper = (30, 30, 32) if random.random() < 0.3 else darker(paint, 0.9)
    atlas.rectangle("rear", (-0.26, 0.55), (0.26, 0.66), (222, 222, 214))
    atlas.rectangle("rear", (-side, shape.clearance), (side, shape.clearance + 0.14), bumper)
