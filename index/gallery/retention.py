"""How long records are kept: a rule in words, and which records it lets go of at a given time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from index.gallery.fields import FieldsError, read_name, shorten

if TYPE_CHECKING:
    from index.gallery.record import Record

# No two repetitions side by side take the same characters: clients may send a rule, and a long one would take for ever.
_PART: Final = re.compile(r"(?:camera(?P<camera>\s.+):\s*|(?P<trash>trash)\s*:\s*)?(?:(?P<days>[1-9][0-9]{0,4})d|keep)")


class RetentionError(ValueError):
    """A rule that cannot be understood; one line says what was expected."""


class ExpiredRecord(NamedTuple):
    """A record that is to go, damaged or not."""

    seq: int
    id: str
    content: str


@dataclass(frozen=True)
class Expired:
    """Which records are too old: those that were captured, or where nobody knows when, enrolled before a time.

    A camera whose clock runs ahead keeps nothing for ever: nothing is captured after it was enrolled.

    Attributes:
        before: the time for records of all cameras that are not named, and without one; None: they stay.
        cameras: the times for records of these cameras.
    """

    before: datetime | None
    cameras: Mapping[str, datetime | None] = field(default_factory=dict)

    def includes(self, record: "Record") -> bool:
        """Whether a record is to go."""
        camera = record.fields.camera
        before = self.before if camera is None else self.cameras.get(camera, self.before)
        return before is not None and min(record.fields.captured_at or record.enrolled_at, record.enrolled_at) < before


@dataclass(frozen=True)
class Retention:
    """A rule such as ``90d; camera gate-3: 30d; camera archive: keep; trash: 7d``.

    Attributes:
        days: for which records of all cameras are kept that are not named, and those without one; None: for ever.
        cameras: the same for these cameras.
        trash_days: for which image files of deleted records are kept in the trash; None: for ever.
    """

    days: int | None = None
    cameras: Mapping[str, int | None] = field(default_factory=dict)
    trash_days: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """A rule from its text.

        Raises:
            RetentionError: it cannot be understood.
        """
        given: dict[str, int | None] = {}
        cameras: dict[str, int | None] = {}
        for part in text.split(";"):
            found = _PART.fullmatch(part.strip())
            if found is None:
                raise RetentionError(
                    f"expected parts such as 90d, camera gate-3: 30d, camera archive: keep or trash: 7d, with ; "
                    f"between them and whole days, got {shorten(part.strip())}"
                )
            days = None if found["days"] is None else int(found["days"])
            of, name = (cameras, _camera(found["camera"])) if found["camera"] else (given, found["trash"] or "days")
            if name in of:
                raise RetentionError(f"{shorten(part.strip())} says once more how long the same is kept: leave one out")
            of[name] = days
        return cls(given.get("days"), cameras, given.get("trash"))

    def at(self, now: datetime) -> Expired:
        """Which records are too old at a time."""
        return Expired(_before(now, self.days), {camera: _before(now, days) for camera, days in self.cameras.items()})


def _camera(text: str) -> str:
    try:
        return read_name(text)
    except FieldsError as error:
        raise RetentionError(f"camera: {error}") from None


def _before(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
