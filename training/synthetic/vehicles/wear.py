"""What a vehicle has suffered: dents, rust, faded paint, dirt."""

import numpy as np

from training.synthetic.noise import smooth_noise
from training.synthetic.vehicles.atlas import Side
from training.synthetic.vehicles.livery import darker
from training.synthetic.vehicles.workshop import Workshop


def dent(w: Workshop) -> str:
    """A dent: a dark and a bright crescent."""
    shape = w.shape
    chart: Side = ("left", "right", "top")[w.random.integers(3)]
    x = float(w.random.uniform(-0.42, 0.42)) * shape.length
    y = (
        float(w.random.uniform(-0.35, 0.35)) * shape.width
        if chart == "top"
        else float(w.random.uniform(shape.clearance + 0.2, shape.belt))
    )
    radius = float(w.random.uniform(0.1, 0.24))
    w.atlas.disc(chart, (x, y), radius, darker(w.paint, 0.5))
    w.atlas.disc(chart, (x + radius * 0.25, y + radius * 0.25), radius * 0.7, darker(w.paint, 1.25))
    return f"dent {chart}"


def rust(w: Workshop) -> str:
    """Some spots of rust."""
    shape = w.shape
    chart: Side = ("left", "right", "top")[w.random.integers(3)]
    for _ in range(int(w.random.integers(2, 6))):
        x = float(w.random.uniform(-0.45, 0.45)) * shape.length
        y = (
            float(w.random.choice([-1, 1]) * w.random.uniform(0.3, 0.48)) * shape.width
            if chart == "top"
            else shape.clearance + float(w.random.uniform(0.1, 0.4))
        )
        w.atlas.disc(chart, (x, y), float(w.random.uniform(0.05, 0.14)), w.pick((96, 52, 28), (120, 70, 36)))
    return f"rust {chart}"


def faded(w: Workshop) -> str:
    """Clear coat that the sun has bleached."""
    place = w.random.integers(2)
    shape = w.shape
    centre, half_length, half_width = shape.roof_outline
    x = (centre, (shape.windscreen[0] + shape.length / 2) / 2)[place]
    reach = (half_length * 0.8, 0.45)[place]
    red, green, blue = (round(0.55 * value + 0.45 * 205) for value in w.paint)
    edge = [
        (x + reach * np.cos(t) * w.random.uniform(0.6, 1), half_width * 0.9 * np.sin(t) * w.random.uniform(0.6, 1))
        for t in np.linspace(0, 6.2, 12)
    ]
    w.atlas.polygon("top", edge, (red, green, blue))
    return f"faded {('roof', 'bonnet')[place]}"


def weather(w: Workshop) -> str:
    """Dirt, on every vehicle more or less: brown from below, patchy on top."""
    level = float(w.random.beta(1.2, 5))
    mud = w.pick((124, 114, 100), (150, 146, 138), (98, 94, 88))
    for chart in ("left", "right"):
        rise = np.linspace(0.1, 1.2, 24)[:, None] ** 2
        w.atlas.shade(chart, (level * rise * (1 + 0.5 * smooth_noise(w.random, (24, 64), 6))).clip(0, 0.8), mud)
    patches = smooth_noise(w.random, (40, 96), 5)
    w.atlas.shade("top", (level * 0.3 * (0.6 + patches)).clip(0, 0.5), mud)
    w.atlas.shade("top", 1 + 0.015 * smooth_noise(w.random, (40, 96), 9))
    return "clean" if level < 0.1 else "dusty" if level < 0.35 else "dirty"
