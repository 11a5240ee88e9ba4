"""Numbers on a command line: what cannot be meant is refused with the flag's name."""

import argparse
import math


def seed(text: str) -> int:
    """A whole number that torch and NumPy both take as a seed."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"a seed lies between 0 and 2**63 - 1, got {text}")
    return number


def at_least_one(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"expected a finite number of 0 or more, got {text}")
    return number
