"""Which records a search, a listing, a change or a deletion is about."""

from dataclasses import dataclass
from datetime import datetime

import haversine

from index.gallery.record import Record


@dataclass(frozen=True)
class Near:
    """A circle on the ground: WGS 84 degrees and metres."""

    latitude: float
    longitude: float
    radius_m: float


@dataclass(frozen=True)
class Filter:
    """All given conditions hold; a record that lacks a field does not satisfy a condition on it.

    Attributes:
        cameras: any of them.
        tags: every one of them.
        captured_after, captured_before: captured_after <= captured_at < captured_before; with a time zone.
        near: within the radius.
        attributes: (name, value), every one of them.
        ids: any of them.
        other_than: an id; every record but this one.
    """

    identity: str | None = None
    cameras: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    captured_after: datetime | None = None
    captured_before: datetime | None = None
    near: Near | None = None
    source: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    other_than: str | None = None

    def matches(self, record: Record) -> bool:
        """Whether a record passes."""
        if self.ids and record.id not in self.ids:
            return False
        if record.id == self.other_than:
            return False
        fields = record.fields
        if self.identity is not None and fields.identity != self.identity:
            return False
        if self.cameras and fields.camera not in self.cameras:
            return False
        if not set(self.tags) <= set(fields.tags):
            return False
        if self.captured_after is not None and (fields.captured_at is None or fields.captured_at < self.captured_after):
            return False
        if self.captured_before is not None and (
            fields.captured_at is None or fields.captured_at >= self.captured_before
        ):
            return False
        if self.near is not None:
            if fields.latitude is None or fields.longitude is None:
                return False
            near = self.near
            if distance_m(fields.latitude, fields.longitude, near.latitude, near.longitude) > near.radius_m:
                return False
        if self.source is not None and fields.source != self.source:
            return False
        return all(fields.attributes.get(name) == value for name, value in self.attributes)


def distance_m(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float:
    """Metres on the ground between two places in degrees.

    Raises:
        ValueError: degrees that no place on Earth has.
    """
    here, there = (latitude_a, longitude_a), (latitude_b, longitude_b)
    return float(haversine.haversine(here, there, unit=haversine.Unit.METERS))
