"""The circle around each vehicle of a frame as an image of its own: as it is, and as a drone of another heading saw it.

Circles, because the corners of a turned box would betray the turn.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from tqdm import tqdm

from index.datasets.manifest import Entry, Manifest
from model.normalization import IMAGENET_MEAN
from training.alignment.turning import circle_around, turnable, turned_views

NUM_TURNS: Final = 3
_SMALLEST_SIDE_PX: Final = 32


class Circles(NamedTuple):
    """The same vehicles' circles, in one folder.

    Attributes:
        as_they_are: every query and gallery image as the drone saw it.
        queries_turned: `NUM_TURNS` manifests with that gallery, in each of which every query has another turn.
    """

    as_they_are: Manifest
    queries_turned: tuple[Manifest, ...]


def cut_circles(manifest: Manifest, out: Path) -> Circles:
    """Writes the circle around each box into a new folder, and for queries the circle from turned frames too.

    Entries without a box, and those whose circle does not lie in their frame, are left out.

    Raises:
        ImageError, BoxError, OSError: an image cannot be used.
    """
    out.mkdir(parents=True)
    as_they_are: list[Entry] = []
    turned: list[list[Entry]] = [[] for _ in range(NUM_TURNS)]
    for number, frame, box in tqdm(turnable(manifest, manifest.entries), "circles"):
        entry = manifest.entries[number]
        turns_deg = [turn_deg(entry, turn) for turn in range(NUM_TURNS)] if entry.role == "query" else []
        size_px = max(_SMALLEST_SIDE_PX, round(2 * circle_around(box)[2]))
        circle, *circles_turned = turned_views(frame, box, [0.0, *turns_deg], size_px, IMAGENET_MEAN)
        cut = replace(entry, path=f"{number}.png", box=None)
        Image.fromarray(circle).save(out / cut.path)
        as_they_are.append(cut)
        for turn, view in enumerate(circles_turned):
            query = replace(cut, path=f"{number}-turn{turn}.png")
            Image.fromarray(view).save(out / query.path)
            turned[turn].append(query)
    gallery = [entry for entry in as_they_are if entry.role != "query"]
    return Circles(
        Manifest(out, tuple(as_they_are), manifest.protocol),
        tuple(Manifest(out, (*queries, *gallery), manifest.protocol) for queries in turned),
    )


def turn_deg(query: Entry, turn: int) -> float:
    """The angle that chance gave a query for one of the turns, counter-clockwise, in 0..360.

    Each turn has a part of the circle of its own, so that no query is turned by nearly the same angle every time. It
    follows from the query's path and box: whatever else is measured, its turns are the same.
    """
    digest = hashlib.sha256(f"turn {turn}:{query.path}:{query.box}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return (turn + share) / NUM_TURNS * 360
