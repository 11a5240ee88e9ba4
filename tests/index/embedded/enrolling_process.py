"""Enrols, changes and deletes until it is killed, and says what was done only after the gallery has acknowledged it.

python -m tests.index.embedded.enrolling_process FOLDER FIRST_BATCH
"""

import sys
from itertools import count
from pathlib import Path

from index.embedded.opening import open_gallery
from index.gallery.enrolment import Enrolment
from model.box import Box
from tests.index.records import MODEL, enrolment, vector

DIM = 64
BATCH = 5
BOXES = [Box(0, 0, 9, 9), Box(9, 0, 9, 9), Box(18, 0, 9, 9), Box(0, 0, 9, 9), Box(0, 0, 9, 9)]
# Every second batch loses these again: one of the three vehicles in its first frame, and one with a frame of its own.
DELETED = (1, 4)


def batch(number: int) -> list[Enrolment]:
    """The enrolments of a batch: three vehicles in one frame, and two frames with one each."""
    first = number * BATCH
    return [
        enrolment(seed, frame=max(seed, first + 2), box=box, embedding=vector(seed, DIM), camera="north")
        for seed, box in enumerate(BOXES, start=first)
    ]


def main(folder: Path, first_batch: int) -> None:
    gallery = open_gallery(folder, MODEL, DIM)
    for number in count(first_batch):
        records = [one.record for one in batch(number)]
        gallery.enrol(batch(number))
        say("enrolled", number)
        gallery.update(records[0].id, {"camera": "south"})
        say("updated", number)
        if number % 2:
            for i in DELETED:
                gallery.delete(records[i].id)
            say("deleted", number)


def say(what: str, number: int) -> None:
    sys.stdout.write(f"{what} {number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
