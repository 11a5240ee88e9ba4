"""The groups that a job proposes, as its CSV has them."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from service.jobs.results_csv import unguarded

RESULT: Final = "groups.csv"
COLUMNS: Final = ("group", "record", "identity", "distance", "camera", "captured_at", "source")


class Member(NamedTuple):
    """A record in a group, by its id.

    Attributes:
        distance: Euclidean, from the nearest other one.
        identity: that it had when the group was proposed.
    """

    id: str
    distance: float
    identity: str | None = None


class ProposedGroup(NamedTuple):
    """Two records or more that may show one vehicle; some of them had no identity when they were grouped.

    Attributes:
        identity: of the others.
    """

    number: int
    identity: str | None
    members: list[Member]


def read_groups(path: Path) -> Iterator[ProposedGroup]:
    """The groups of a CSV that are to be reviewed, by rising number.

    Left out are records that are alone and groups in which every record had its identity already.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        for number, of_group in groupby(lines, key=lambda line: line["group"]):
            group = list(of_group)
            if len(group) == 1:  # so are all that follow: the largest come first
                return
            identities = {unguarded(line["identity"]) for line in group}
            if "" in identities:
                members = [
                    Member(line["record"], float(line["distance"]), unguarded(line["identity"]) or None)
                    for line in group
                ]
                yield ProposedGroup(int(number), max(identities) or None, members)
