"""What a data set of the field is to this program: how to know it, read it, and check it against what was published."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from index.datasets.manifest import Entry, Manifest

VruRoles = Literal["official", "benchmark"]


@dataclass(frozen=True)
class Choices:
    """What a protocol leaves to chance or to its user.

    Attributes:
        seed: of every split and draw.
        vru_roles: whether VRU's one held-out image of an identity is its query (the ``official`` vru.py) or its gallery
            image (the ``benchmark`` of 2026); the figures differ.
    """

    seed: int = 0
    vru_roles: VruRoles = "official"


class Published(NamedTuple):
    """What its authors say of a split's role; None where they do not."""

    num_images: int | None
    num_identities: int | None


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        markers: paths of which one is in its folder and in no other data set's.
        read: from its folder to a manifest.
        published: by (split, role); role ``""`` is all of a split, and ``a+b`` are two splits together.
    """

    name: str
    markers: tuple[str, ...]
    read: Callable[[Path, Choices], Manifest]
    published: dict[tuple[str, str], Published]

    def lies_in(self, folder: Path) -> bool:
        """Whether a folder looks like it."""
        return any((folder / marker).exists() for marker in self.markers)


def draw(entries: Iterable[Entry], num_draws: int, seed: int) -> list[Entry]:
    """Marks for each draw one random image of each identity, in the column ``draws`` (`Protocol.num_draws`).

    The order of the entries does not matter, so that no order of lines on disk can change a split.
    """
    entries = sorted(entries, key=lambda entry: (entry.identity, entry.path))
    members: dict[str, list[int]] = {}
    for position, entry in enumerate(entries):
        members.setdefault(entry.identity, []).append(position)
    rng = np.random.default_rng(seed)
    drawn: dict[int, list[str]] = {}
    for number in range(num_draws):
        for positions in members.values():
            drawn.setdefault(positions[int(rng.integers(len(positions)))], []).append(str(number))
    return [
        replace(entry, role=None, further={**entry.further, "draws": " ".join(drawn.get(position, []))})
        for position, entry in enumerate(entries)
    ]
