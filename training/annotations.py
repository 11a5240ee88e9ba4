"""What the data tells of training images besides who they show, for methods that learn from it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.datasets.manifest import Entry
from training.recipe import Architecture, Recipe

ANNOTATIONS_OF: Final[dict[Architecture, tuple[str, ...]]] = {
    "ram": ("type", "colour"),
    "vscr": ("view",),
    "am_wtl": ("colour",),
}
"""What each method learns from; the others learn from identities alone."""

_COLUMNS: Final = {"type": ("type",), "colour": ("colour", "color"), "view": ("view",)}
_UNKNOWN: Final = -1


@dataclass(frozen=True)
class Annotations:
    """The annotations that a method learns from, and their values in the data.

    Attributes:
        classes: by the annotation's name its values, sorted: a value's place is its class index.
        missing: the annotations that the data lacks: fewer than two values leave nothing to tell apart.
    """

    classes: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]

    @property
    def num_classes(self) -> dict[str, int]:
        """How many values each annotation has."""
        return {name: len(values) for name, values in self.classes.items()}

    def indices(self, entries: Sequence[Entry]) -> NDArray[np.int64]:
        """The class indices (N, A) of the entries, A annotations in the order of `classes`; -1 where unknown."""
        places = [{value: place for place, value in enumerate(values)} for values in self.classes.values()]
        rows = [
            [place.get(_value(entry, name), _UNKNOWN) for name, place in zip(self.classes, places, strict=True)]
            for entry in entries
        ]
        return np.array(rows, np.int64).reshape(len(entries), len(self.classes))

    def fingerprint(self, entries: Sequence[Entry]) -> str:
        """SHA-256 (hex) over the classes and the entries' indices."""
        values = [self.classes, self.indices(entries).tolist()]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def facts(self) -> dict[str, dict[str, list[str]]]:
        """What run.json and a checkpoint say of them; nothing of a method that learns from identities alone."""
        if not self.classes and not self.missing:
            return {}
        return {"annotations": {"used": list(self.classes), "missing": list(self.missing)}}


def names_of_annotations(recipe: Recipe) -> tuple[str, ...]:
    """What a recipe learns from besides identities; nothing if that has no weight."""
    return ANNOTATIONS_OF.get(recipe.architecture, ()) if recipe.annotation_weight else ()


def annotations_of(entries: Sequence[Entry], names: Sequence[str]) -> Annotations:
    """What the training images have of the annotations of these names.

    Values are compared without capitals and spaces at their ends; an empty text is unknown. The colour is the
    manifest's column ``colour`` or ``color``. The view is its column ``view``, or else follows from ``heading_deg``.
    """
    classes: dict[str, tuple[str, ...]] = {}
    missing = []
    for name in names:
        values = {_value(entry, name) for entry in entries} - {""}
        if len(values) < 2:
            missing.append(name)
        else:
            classes[name] = tuple(sorted(values))
    return Annotations(classes, tuple(missing))


def view_of_heading(heading_deg: float) -> str:
    """Which side of the vehicle is towards the camera: front, rear, left or right.

    Args:
        heading_deg: the rear-front axis in the crop, counter-clockwise from the right. The camera is held upright, so
            that what is near is at the bottom of the image: who drives upwards (90) shows the rear.
    """
    quarter = round((heading_deg % 360) / 90) % 4
    return ("right", "rear", "left", "front")[quarter]


def _value(entry: Entry, name: str) -> str:
    """The value of an annotation; empty if it is unknown."""
    for column in _COLUMNS[name]:
        if value := entry.further.get(column, "").strip().casefold():
            return value
    if name == "view" and (heading_deg := _heading_deg(entry)) is not None:
        return view_of_heading(heading_deg)
    return ""


def _heading_deg(entry: Entry) -> float | None:
    try:
        heading_deg = float(entry.further.get("heading_deg", ""))
    except ValueError:
        return None
    return heading_deg if np.isfinite(heading_deg) else None
