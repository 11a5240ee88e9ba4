"""Numbers as people write them in forms, query strings, manifests and flags: plain decimal digits.

Nothing of Python's own syntax: no ``1_000``, no ``nan``, no digits of other scripts, no spaces around.
"""

import math
import re
from argparse import ArgumentTypeError
from typing import Final

_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


class NumberError(ValueError, ArgumentTypeError):
    """A text that is no number; the message says what was expected.

    An ArgumentTypeError too, because argparse shows the message of no other: ``type=whole_number`` makes a flag.
    """


def whole_number(text: str) -> int:
    """``"-12"`` -> -12.

    Raises:
        NumberError: anything but a sign and up to 19 of the digits 0 to 9, what 64 bits hold.
    """
    if not _WHOLE.fullmatch(text):
        raise NumberError(f"a whole number in the digits 0-9 was expected, not {_shorten(text)}")
    return int(text)


def decimal_number(text: str) -> float:
    """``"50.25"`` or ``"1e-3"`` -> a finite float.

    Raises:
        NumberError: anything else, or a number beyond float64.
    """
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise NumberError(f"a number such as 50.25 was expected, not {_shorten(text)}")
    return number


def _shorten(text: str) -> str:
    quoted = repr(text)
    return quoted if len(quoted) <= 80 else quoted[:77] + "..."
