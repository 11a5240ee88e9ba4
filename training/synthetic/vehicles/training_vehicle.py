"""A vehicle of edition 2: a body, a design and a paint of its own, and half of the time nothing else."""

from typing import Final

import numpy as np

from training.synthetic.vehicles.atlas import Atlas
from training.synthetic.vehicles.cargo import load_up
from training.synthetic.vehicles.details import DETAILS
from training.synthetic.vehicles.interior import furnish
from training.synthetic.vehicles.paints import draw_paint
from training.synthetic.vehicles.styling import style_body
from training.synthetic.vehicles.types import TYPES
from training.synthetic.vehicles.varied_body import varied_shape
from training.synthetic.vehicles.vehicle import Vehicle, drawn_name, put_together
from training.synthetic.vehicles.wear import weather
from training.synthetic.vehicles.workshop import Workshop

_EDITION: Final = 2  # keeps its vehicles apart from edition 1's of the same numbers
_PLAIN_ALLOWED: Final = frozenset({"sunroof", "rails", "antenna", "spoiler", "bars"})
_PLAIN_LESS: Final = 0.6  # how often plain vehicles have those, of others


def build_training_vehicle(seed: int, number: int, plain_share: float, stream: int = 0) -> Vehicle:
    """The vehicle of that seed and number: always the same, and another for any other two.

    Args:
        seed: of the data set.
        number: of the vehicle in it.
        plain_share: of the vehicles that have nothing striking: at most what a factory fits to many.
        stream: keeps apart the vehicles of the data set (0) and those that only stand about.
    """
    random = np.random.default_rng([seed, stream, number, _EDITION])
    kind = drawn_name(random, {name: kind.share for name, kind in TYPES.items()})
    is_plain = bool(random.random() < plain_share)
    colour, paint = draw_paint(random, kind)
    shape = varied_shape(kind, random)
    height = shape.height + (0.9 if kind == "truck" else 0.1)
    atlas = Atlas(shape.length, shape.width, height, paint)
    workshop = Workshop(kind, paint, shape, atlas, random)
    style_body(atlas, shape, kind, paint, random)
    dirt = weather(workshop)
    words = ["plain" if is_plain else "", load_up(workshop)]
    furnish(workshop)
    for detail in DETAILS:
        if kind not in detail.types:
            continue
        share = detail.share
        if is_plain:
            share *= _PLAIN_LESS if detail.fit.__name__ in _PLAIN_ALLOWED else 0
        if random.random() < share:
            words.append(detail.fit(workshop))
    return put_together(workshop, colour, (*words, dirt), random, tints=(14, 90))
