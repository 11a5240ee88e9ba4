"""Lines about many things: the first of them, and how many more there are."""

from collections.abc import Sequence
from typing import Final

# --json names all.
_MAX_NAMED: Final = 20


def named_lines(kind: str, what: Sequence[str]) -> list[str]:
    """``kind: what`` for each of the first, and a line that counts the others."""
    lines = [f"{kind}: {line}" for line in what[:_MAX_NAMED]]
    if len(what) > _MAX_NAMED:
        lines.append(f"{kind}: and {len(what) - _MAX_NAMED} more (--json names them)")
    return lines
