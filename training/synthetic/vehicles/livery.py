"""What every vehicle of a type carries: panel gaps, lights, grille, plates, handles, wheel arches, company signs."""

import numpy as np

from training.synthetic.vehicles.atlas import Atlas, Colour
from training.synthetic.vehicles.body import Shape

_GAP_M = 0.024
BLACK: Colour = (16, 16, 17)


def darker(colour: Colour, factor: float) -> Colour:
    """The colour times a factor, within the range."""
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


def paint_body(atlas: Atlas, shape: Shape, kind: str, paint: Colour, random: np.random.Generator) -> None:
    """Draws what the body's panels show."""
    half, side = shape.length / 2, shape.width / 2
    gap = darker(paint, 0.35)
    foot, rear_foot = shape.windscreen[0], shape.rear_window[1]
    if kind != "bus":
        # The bonnet and the boot lid, between the wings.
        inner = side * random.uniform(0.72, 0.82)
        nose = half - random.uniform(0.12, 0.3)
        bonnet = [(foot, -inner), (nose, -inner * 0.86), (nose, inner * 0.86), (foot, inner)]
        atlas.line("top", [*bonnet, bonnet[0]], gap, _GAP_M)
        if kind in ("sedan", "coupe"):
            tail = -half + random.uniform(0.05, 0.12)
            lid = [(rear_foot, -inner), (tail, -inner * 0.9), (tail, inner * 0.9), (rear_foot, inner)]
            atlas.line("top", [*lid, lid[0]], gap, _GAP_M)
        for sign in (-1, 1):  # creases catch the light on one side and lose it on the other
            crease = [(foot, sign * inner * 0.62), (nose, sign * inner * 0.45)]
            atlas.line("top", crease, darker(paint, 1.18), 0.05)
            atlas.line("top", [(x, y - sign * 0.05) for x, y in crease], darker(paint, 0.82), 0.04)
        atlas.rectangle("top", (foot - 0.06, -side * 0.8), (foot + 0.07, side * 0.8), BLACK)  # the wipers' well
    paint_sides(atlas, shape, kind, gap, random)
    _paint_ends(atlas, shape, kind, random)


def paint_sides(atlas: Atlas, shape: Shape, kind: str, gap: Colour, random: np.random.Generator) -> None:
    """Draws what both sides show: doors and their handles, a skirt, wheel arches."""
    half = shape.length / 2
    skirt = random.random() < 0.35 or kind in ("truck", "suv")
    axles = wheel_places(shape, kind)
    radius = wheel_radius(kind) * shape.wheel_scale
    doors = {"coupe": (0.04, -0.22), "van": (0.33, 0.14), "truck": (0.47, 0.33), "bus": (0.46, 0.36)}.get(
        kind, (0.16, -0.06, -0.26)
    )
    for face in ("left", "right"):
        for door in doors:
            atlas.line(
                face, [(door * shape.length, shape.clearance + 0.1), (door * shape.length, shape.belt)], gap, _GAP_M
            )
            handle = door * shape.length - 0.3 if door > doors[-1] else None
            if handle is not None:
                atlas.line(face, [(handle, shape.belt - 0.12), (handle - 0.16, shape.belt - 0.12)], gap, 0.04)
        if skirt:
            atlas.rectangle(face, (-half, shape.clearance - 0.1), (half, shape.clearance + 0.12), (34, 34, 36))
        for x in axles:
            for part, colour in ((1.16, BLACK), (1.0, (24, 24, 25)), (0.6, (86, 88, 91)), (0.3, (40, 40, 42))):
                atlas.disc(face, (x, radius), radius * part, colour)


def _paint_ends(atlas: Atlas, shape: Shape, kind: str, random: np.random.Generator) -> None:
    half, side, nose = shape.length / 2, shape.width / 2, shape.nose
    lamp, tail_lamp = (212, 216, 220), (150, 18, 20)
    grille_width = side * random.uniform(0.4, 0.65)
    atlas.rectangle("front", (-grille_width, nose - 0.28), (grille_width, nose - 0.1), (20, 20, 22))
    atlas.rectangle("front", (-side, shape.clearance), (side, shape.clearance + 0.16), (26, 26, 28))
    atlas.rectangle("front", (-0.26, shape.clearance + 0.18), (0.26, shape.clearance + 0.29), (226, 226, 220))
    reach = random.uniform(0.16, 0.42)  # how far the lamps reach back over the wings
    rear_reach = random.uniform(0.06, 0.25)
    for sign in (-1, 1):
        inner, outer = sign * side * random.uniform(0.55, 0.66), sign * side
        atlas.rectangle("front", (inner, nose - 0.2), (outer, nose - 0.04), lamp)
        atlas.polygon("top", [(half, inner), (half - 0.1, inner), (half - reach, outer * 0.97), (half, outer)], lamp)
        top = shape.belt if kind not in ("van", "bus", "truck") else shape.clearance + 0.6
        atlas.rectangle("rear", (inner, top - 0.3), (outer, top - 0.08), tail_lamp)
        atlas.polygon(
            "top", [(-half, inner), (-half + 0.03, inner), (-half + rear_reach, outer), (-half, outer)], tail_lamp
        )
    atlas.rectangle("rear", (-0.26, 0.55), (0.26, 0.66), (222, 222, 214))
    atlas.rectangle("rear", (-side, shape.clearance), (side, shape.clearance + 0.14), (30, 30, 32))


def wheel_radius(kind: str) -> float:
    """The tyre's radius in metres."""
    return {"suv": 0.37, "pickup": 0.38, "van": 0.35, "bus": 0.48, "truck": 0.47}.get(kind, 0.32)


def wheel_places(shape: Shape, kind: str) -> list[float]:
    """The axles' x."""
    half = shape.length / 2
    front = half - {"bus": 2.6, "truck": 1.25}.get(kind, 0.82 + 0.04 * shape.length / 4.5)
    rear = -half + {"bus": 3.1, "truck": 1.5, "pickup": 1.15}.get(kind, 0.86)
    return [front, rear, rear + 1.05] if kind == "truck" and shape.length > 8 else [front, rear]
