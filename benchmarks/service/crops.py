"""The crops that the service is asked about."""

from functools import cache
from typing import Final

from benchmarks.made_up_pictures import jpeg, made_up_picture, numbered

_NUM_CROPS: Final = 64
_SIDE_PX: Final = 256


@cache
def crops() -> tuple[bytes, ...]:
    """JPEG files, 256 x 256."""
    return tuple(jpeg(made_up_picture(seed, _SIDE_PX, _SIDE_PX)) for seed in range(_NUM_CROPS))


def crop(number: int) -> bytes:
    """One of them in bytes that no other number has: the gallery takes it for another picture."""
    return numbered(crops()[number % _NUM_CROPS], number)
