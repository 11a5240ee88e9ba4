"""What tells a vehicle from its twins of the same type and colour: what it carries, wears and has suffered, and where.

Each detail is drawn by itself, so that two vehicles with the same details in other places are two vehicles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from training.synthetic.vehicles import body_details, roof_details, wear
from training.synthetic.vehicles.workshop import Workshop


@dataclass(frozen=True)
class Detail:
    """A way in which a vehicle can differ.

    Attributes:
        share: how often a vehicle has it, of those that can.
        types: that can have it.
        fit: makes it, and says in words what and where.
        striking: whether most views from above show it.
    """

    share: float
    types: frozenset[str]
    fit: Callable[[Workshop], str]
    striking: bool = False


_CARS: Final = frozenset({"sedan", "hatchback", "estate", "suv", "mpv", "coupe"})
_ROOFED: Final = _CARS | {"van", "pickup"}
_ALL: Final = _ROOFED | {"bus", "truck"}
DETAILS: Final[tuple[Detail, ...]] = (
    Detail(0.14, _CARS | {"pickup"}, roof_details.coloured_roof, striking=True),
    Detail(0.12, _ROOFED, wear.faded, striking=True),
    Detail(0.34, _CARS, roof_details.sunroof, striking=True),
    Detail(0.3, frozenset({"estate", "suv", "mpv"}), roof_details.rails, striking=True),
    Detail(0.14, _ROOFED, roof_details.bars, striking=True),
    Detail(0.1, _ROOFED, roof_details.roof_load, striking=True),
    Detail(0.6, _ROOFED, roof_details.antenna),
    Detail(0.02, _CARS, roof_details.roof_sign, striking=True),
    Detail(0.07, _ALL - {"bus"}, body_details.stripes, striking=True),
    Detail(0.16, _ALL, body_details.side_stripe),
    Detail(0.11, _ROOFED, body_details.odd_panel, striking=True),
    Detail(0.34, _ALL, body_details.stickers, striking=True),
    Detail(0.14, _ALL, body_details.stickers, striking=True),
    Detail(0.16, _ALL - {"bus"}, body_details.windscreen, striking=True),
    Detail(0.18, _CARS, body_details.rear_window),
    Detail(0.16, frozenset({"sedan", "coupe", "hatchback"}), body_details.spoiler),
    Detail(0.05, _CARS | {"pickup"}, body_details.bonnet_scoop),
    Detail(0.16, frozenset({"suv"}), body_details.spare_wheel),
    Detail(0.22, _ALL, wear.dent),
    Detail(0.12, _ALL, wear.rust),
)
