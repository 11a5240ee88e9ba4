"""Which records a search, a listing or a deletion is about."""

from dataclasses import dataclass
from datetime import UTC, datetime


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
    """

    identity: str | None = None
    cameras: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    captured_after: datetime | None = None
    captured_before: datetime | None = None
    near: Near | None = None

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL over the table ``record``, and its parameters; ``"1"`` if everything passes."""
        terms: list[str] = []
        parameters: list[object] = []

        def add(term: str, *values: object) -> None:
            terms.append(term)
            parameters.extend(values)

        if self.identity is not None:
            add("identity = ?", self.identity)
        if self.cameras:
            add(f"camera IN ({','.join('?' * len(self.cameras))})", *self.cameras)
        for tag in self.tags:
            # CASE, so that one damaged row is no error of the whole statement.
            exists = "EXISTS (SELECT 1 FROM json_each(record.tags) WHERE value = ?)"
            add(f"CASE WHEN json_valid(record.tags) THEN {exists} ELSE 0 END", tag)
        if self.captured_after is not None:
            add("captured_at >= ?", microseconds(self.captured_after))
        if self.captured_before is not None:
            add("captured_at < ?", microseconds(self.captured_before))
        if self.near is not None:
            near = self.near
            # The band of latitudes is cheap and spares most rows the exact distance; a degree has 111.2 km.
            band_deg = near.radius_m / 111_000
            add("latitude BETWEEN ? AND ?", near.latitude - band_deg, near.latitude + band_deg)
            add("distance_m(latitude, longitude, ?, ?) <= ?", near.latitude, near.longitude, near.radius_m)
        return " AND ".join(terms) or "1", parameters


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 in UTC: how the store keeps and compares times, exactly."""
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
