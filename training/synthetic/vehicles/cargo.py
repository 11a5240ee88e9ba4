"""What a pickup, a truck, a van or a bus carries: beds, bodies, loads, units on the roof."""

import numpy as np

from training.synthetic.vehicles.atlas import Colour
from training.synthetic.vehicles.livery import darker
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.workshop import Workshop

_GOODS: tuple[Colour, ...] = (
    (120, 90, 62), (168, 148, 118), (72, 90, 124), (134, 56, 50), (84, 104, 84), (206, 206, 200), (48, 48, 50),
    (190, 144, 72),
)  # fmt: skip


def load_up(w: Workshop) -> str:
    """Adds the body and its load, and says what it is."""
    if w.kind == "pickup":
        return _bed(
            w, -w.shape.length / 2 + 0.06, w.shape.rear_window[0] - 0.06, w.shape.deck, w.shape.belt - 0.02, w.paint
        )
    if w.kind == "truck":
        return _truck_body(w)
    if w.kind in ("van", "bus"):
        return _roof_units(w)
    return ""


def _bed(w: Workshop, rear: float, front: float, floor: float, rim: float, paint: Colour) -> str:
    """An open box, empty, full, or covered."""
    half = w.shape.width / 2 * 0.97
    for sign in (-1, 1):
        y = sorted((sign * half, sign * (half - 0.09)))
        w.add_box((rear, y[0], floor - 0.3), (front, y[1], rim), paint, Material.PAINT)
    w.add_box((rear, -half, floor - 0.3), (rear + 0.07, half, rim), paint, Material.PAINT)
    w.add_box((front - 0.07, -half, floor - 0.3), (front, half, rim), paint, Material.PAINT)
    form = ("empty", "cover", "goods", "heap")[w.random.integers(4)]
    inner = half - 0.1
    if form == "cover":
        w.add_box(
            (rear, -half, rim - 0.05), (front, half, rim + 0.03), w.pick((18, 18, 19), (60, 60, 62), darker(paint, 0.8))
        )
        return "covered bed"
    w.add_box(
        (rear + 0.06, -inner, floor - 0.1),
        (front - 0.06, inner, floor + 0.02),
        w.pick((40, 40, 42), (120, 116, 108), darker(paint, 0.7)),
    )
    if form == "goods":
        return f"{_goods(w, rear + 0.1, front - 0.1, inner, floor)} pieces in the bed"
    if form == "heap":
        middle = (rear + front) / 2
        colour = w.pick((168, 144, 100), (96, 80, 62), (120, 118, 114), (72, 84, 50))
        radii = ((front - rear) * 0.46, inner, (rim - floor) / 2 + 0.1)
        w.add_ellipsoid((middle, 0, (floor + rim) / 2), radii, colour, squareness=3)
        return "heap in the bed"
    return "empty bed"


def _goods(w: Workshop, rear: float, front: float, inner: float, floor: float) -> int:
    number = int(w.random.integers(2, 7))
    for _ in range(number):
        size = w.random.uniform(0.2, 0.6, 3)
        x = w.random.uniform(rear, max(rear + 0.01, front - 2 * size[0]))
        y = w.random.uniform(-inner + size[1], max(-inner + size[1] + 0.01, inner - size[1]))
        colour = _GOODS[w.random.integers(len(_GOODS))]
        top = (min(x + 2 * size[0], front), min(y + size[1], inner), floor + 2 * size[2] * 0.6)
        w.add_box((x, max(y - size[1], -inner), floor), top, colour)
    return number


def _truck_body(w: Workshop) -> str:
    shape, half = w.shape, w.shape.width / 2
    rear, front = -shape.length / 2 + 0.05, shape.rear_window[0] - 0.25
    colour = w.pick(
        (236, 236, 232),
        (236, 236, 232),
        (190, 192, 194),
        w.paint,
        (70, 92, 130),
        (124, 58, 54),
        (178, 158, 96),
        (78, 102, 84),
    )
    form = ("box", "tarpaulin", "flatbed", "tipper", "tank")[w.random.integers(5)]
    floor = shape.deck + 0.05
    if form in ("box", "tarpaulin"):
        top = shape.height + w.random.uniform(0.1, 0.7)
        w.add_box((rear, -half, floor), (front, half, top), colour, Material.PAINT if form == "box" else Material.MATT)
        for x in np.linspace(rear, front, int(w.random.integers(2, 9)))[1:-1]:
            w.add_box((x - 0.03, -half, floor), (x + 0.03, half, top + 0.012), darker(colour, 0.82))
        if form == "box" and w.chance(0.5):
            x = front - w.random.uniform(0.2, 0.5)
            w.add_box((x, -0.7, top - 0.5), (x + 0.5, 0.7, top + 0.12), (210, 212, 212))
        mark = w.pick(*_GOODS)
        if w.chance(0.5):
            x, y = w.random.uniform(rear + 0.5, front - 1.5), half * w.random.uniform(-0.6, 0.3)
            w.add_box(
                (x, y, top - 0.1), (x + w.random.uniform(0.5, 1.4), y + w.random.uniform(0.3, 0.7), top + 0.015), mark
            )
        return f"{form} body"
    if form == "tank":
        w.add_ellipsoid(
            ((rear + front) / 2, 0, floor + 0.8), ((front - rear) / 2, half * 0.9, 0.8), colour, Material.CHROME, 4
        )
        for x in np.linspace(rear, front, int(w.random.integers(3, 6)))[1:-1]:
            w.add_ellipsoid((x, 0, floor + 1.58), (0.28, 0.28, 0.1), (70, 72, 74), squareness=3)
        return "tank body"
    _bed(w, rear, front, floor, floor + (0.35 if form == "flatbed" else 0.8), colour)
    if form == "flatbed":
        _goods(w, rear + 0.1, front - 0.1, half - 0.1, floor)
    return f"{form} body"


def _roof_units(w: Workshop) -> str:
    """Air conditioning, hatches and vents on a large roof."""
    centre, half_length, half_width = w.shape.roof_outline
    number = int(w.random.integers(0, 3 if w.kind == "van" else 5))
    for _ in range(number):
        x = centre + half_length * w.random.uniform(-0.8, 0.6)
        y = half_width * w.random.uniform(-0.3, 0.3)
        size = (
            (w.random.uniform(0.25, 0.5), w.random.uniform(0.2, 0.4))
            if w.kind == "van"
            else (w.random.uniform(0.4, 1.2), w.random.uniform(0.4, 0.9))
        )
        top = w.shape.height + w.random.uniform(0.06, 0.22)
        colour = w.pick((226, 226, 222), (90, 92, 94), (40, 42, 44), (180, 182, 182))
        w.add_box((x - size[0], y - size[1], w.shape.height - 0.05), (x + size[0], y + size[1], top), colour)
    return f"{number} roof units" if number else ""
