"""What the body and the windows show: stripes, stickers, panels of another colour, things fitted on."""

from training.synthetic.vehicles.atlas import Side
from training.synthetic.vehicles.livery import BLACK
from training.synthetic.vehicles.mesh import Material
from training.synthetic.vehicles.workshop import Workshop


def stripes(w: Workshop) -> str:
    """Stripes along the bonnet or the whole vehicle, in the middle or not."""
    half = w.shape.length / 2
    colour = w.pick((235, 235, 235), (15, 15, 15), (140, 44, 42), (46, 66, 118), (196, 164, 70))
    middle = w.shape.width * w.random.choice([-0.25, 0.0, 0.0, 0.25])
    width = w.random.uniform(0.12, 0.3)
    offsets = (0.0,) if w.chance(0.4) else (-width * 0.8, width * 0.8)
    whole = w.chance(0.5)
    for offset in offsets:
        start = -half if whole else w.shape.windscreen[0]
        w.atlas.line("top", [(start, middle + offset), (half, middle + offset)], colour, width)
    return f"{len(offsets)} stripes {'all along' if whole else 'on the bonnet'}"


def side_stripe(w: Workshop) -> str:
    """A stripe along one side."""
    colour = w.pick((235, 235, 235), (15, 15, 15), (140, 44, 42), (46, 66, 118), (196, 164, 70), (66, 104, 76))
    side = w.side()
    z = w.random.uniform(w.shape.clearance + 0.25, w.shape.belt - 0.1)
    w.atlas.line(side, [(-w.shape.length / 2, z), (w.shape.length / 2, z)], colour, w.random.uniform(0.08, 0.25))
    return f"stripe on the {side}"


def odd_panel(w: Workshop) -> str:
    """A panel from another car, or in primer."""
    shape, half = w.shape, w.shape.length / 2
    colour = w.pick(
        (120, 118, 114), (60, 58, 58), (20, 20, 22), (225, 225, 222), (104, 40, 38), (40, 60, 110), (168, 166, 160)
    )
    place = ("bonnet", "front wing", "door", "rear wing", "boot")[w.random.integers(5)]
    side = w.side()
    sign = 1 if side == "left" else -1
    edge, inner = sign * shape.width / 2, sign * shape.width / 2 * 0.76
    if place == "bonnet":
        w.atlas.rectangle("top", (shape.windscreen[0], -abs(inner)), (half - 0.16, abs(inner)), colour)
        return "odd bonnet"
    if place == "boot":
        w.atlas.rectangle("rear", (-shape.width / 2, shape.clearance + 0.3), (shape.width / 2, shape.deck), colour)
        w.atlas.rectangle("top", (-half, -abs(inner)), (min(shape.rear_window[1], -half + 0.5), abs(inner)), colour)
        return "odd boot"
    x = {"front wing": (shape.windscreen[0], half), "door": (-0.06 * shape.length, 0.16 * shape.length),
         "rear wing": (-half, -0.28 * shape.length)}[place]  # fmt: skip
    w.atlas.rectangle(side, (x[0], shape.clearance), (x[1], shape.belt), colour)
    w.atlas.rectangle("top", (x[0], inner), (x[1], edge), colour)
    return f"odd {place} {side}"


def stickers(w: Workshop) -> str:
    """A sticker somewhere, on one side."""
    shape, half = w.shape, w.shape.length / 2
    centre, half_length, half_width = shape.roof_outline
    side = w.side()
    sign = 1 if side == "left" else -1
    place = ("bonnet", "roof", "door", "boot")[w.random.integers(4)]
    size = (w.random.uniform(0.2, 0.55), w.random.uniform(0.15, 0.4))
    if place == "door":
        z = (shape.clearance + shape.belt) / 2
        x = shape.length * w.random.uniform(-0.25, 0.15)
        return f"{w.add_sticker(side, (x, z), size)} on the {side}"
    target: Side = "top"
    x = {"bonnet": (shape.windscreen[0] + half) / 2, "roof": centre + half_length * float(w.random.uniform(-0.6, 0.6)),
         "boot": (shape.rear_window[1] - half) / 2}[place]  # fmt: skip
    return f"{w.add_sticker(target, (x, sign * half_width * w.random.uniform(0.1, 0.6)), size)} on the {place}, {side}"


def windscreen(w: Workshop) -> str:
    """What lies behind the windscreen or is stuck upon it."""
    form = ("strip", "sunshade", "paper left", "paper right")[w.random.integers(4)]
    if form == "strip":
        w.add_pane_patch(
            "windscreen",
            (-0.97, 0.97),
            (0.76, 0.93),
            w.pick((15, 15, 18), (176, 178, 180), (52, 76, 112), (96, 44, 42)),
        )
    elif form == "sunshade":
        w.add_pane_patch(
            "windscreen", (-0.9, 0.9), (0.12, 0.85), w.pick((176, 180, 184), (150, 152, 152), (120, 112, 98))
        )
    else:
        middle = 0.6 if form == "paper left" else -0.6
        w.add_pane_patch("windscreen", (middle - 0.2, middle + 0.2), (0.1, 0.25), (232, 230, 222))
    return f"windscreen {form}"


def rear_window(w: Workshop) -> str:
    """A sticker in the rear window."""
    if not w.shape.glazed_rear:
        return ""
    middle = float(w.random.uniform(-0.6, 0.6))
    colour = w.pick((226, 226, 222), (190, 170, 90), (140, 60, 54), (90, 124, 160))
    w.add_pane_patch("rear window", (middle - 0.25, middle + 0.25), (0.2, 0.6), colour)
    return "sticker in the rear window"


def spoiler(w: Workshop) -> str:
    """A spoiler on the boot or at the end of the roof."""
    shape = w.shape
    x, z = (
        (-shape.length / 2 + 0.15, shape.deck + 0.14)
        if w.kind in ("sedan", "coupe")
        else (shape.rear_window[0], shape.height)
    )
    half = shape.width * 0.38
    w.add_box((x - 0.22, -half, z - 0.03), (x + 0.06, half, z + 0.02), w.pick(w.paint, BLACK, w.paint), Material.PAINT)
    return "spoiler"


def bonnet_scoop(w: Workshop) -> str:
    """An air intake."""
    shape = w.shape
    x = shape.windscreen[0] * 0.5 + shape.length / 4
    y = float(w.random.choice([-0.3, 0.0, 0.0, 0.3]))
    z = shape.belt + (shape.nose - shape.belt) * 0.5
    w.add_ellipsoid((x, y, z), (0.3, 0.24, 0.08), w.pick(BLACK, w.paint), Material.PAINT)
    return "scoop"


def spare_wheel(w: Workshop) -> str:
    """A spare wheel on the rear door."""
    x = -w.shape.length / 2
    w.add_ellipsoid(
        (x - 0.06, float(w.random.uniform(-0.2, 0.2)), w.shape.belt - 0.1),
        (0.12, 0.36, 0.36),
        w.pick(BLACK, (200, 200, 200), w.paint),
        squareness=3,
    )
    return "spare wheel"
