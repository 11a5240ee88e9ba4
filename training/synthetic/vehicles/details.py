"""What tells a vehicle from its twins of the same type and colour: what it carries, wears and has suffered, and where.

Each detail is drawn by itself, so that two vehicles with the same details in other places are two vehicles.
"""

from collections.abc import Callable
from typing import Final

from training.synthetic.vehicles import body_details, roof_details, wear
from training.synthetic.vehicles.workshop import Workshop

_CARS: Final = frozenset({"sedan", "hatchback", "estate", "suv", "mpv", "coupe"})
_ROOFED: Final = _CARS | {"van", "pickup"}
_ALL: Final = _ROOFED | {"bus", "truck"}
DETAILS: Final[tuple[tuple[float, frozenset[str], Callable[[Workshop], str]], ...]] = (
    (0.14, _CARS | {"pickup"}, roof_details.coloured_roof),
    (0.12, _ROOFED, wear.faded),
    (0.34, _CARS, roof_details.sunroof),
    (0.3, frozenset({"estate", "suv", "mpv"}), roof_details.rails),
    (0.14, _ROOFED, roof_details.bars),
    (0.1, _ROOFED, roof_details.roof_load),
    (0.6, _ROOFED, roof_details.antenna),
    (0.02, _CARS, roof_details.roof_sign),
    (0.07, _ALL - {"bus"}, body_details.stripes),
    (0.16, _ALL, body_details.side_stripe),
    (0.11, _ROOFED, body_details.odd_panel),
    (0.34, _ALL, body_details.stickers),
    (0.14, _ALL, body_details.stickers),
    (0.16, _ALL - {"bus"}, body_details.windscreen),
    (0.18, _CARS, body_details.rear_window),
    (0.16, frozenset({"sedan", "coupe", "hatchback"}), body_details.spoiler),
    (0.05, _CARS | {"pickup"}, body_details.bonnet_scoop),
    (0.16, frozenset({"suv"}), body_details.spare_wheel),
    (0.22, _ALL, wear.dent),
    (0.12, _ALL, wear.rust),
)
