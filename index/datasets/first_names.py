"""A warning about many names the first of them."""

from collections.abc import Sequence
from typing import Final

_NUM_NAMED: Final = 5


def first_names(names: Sequence[str]) -> str:
    """``a, b, c, d, e and 4 more``: enough to look one up, however many there are."""
    further = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + further
