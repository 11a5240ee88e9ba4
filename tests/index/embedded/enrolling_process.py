"""Enrols, changes, deletes and opens a gallery anew until it is killed, and says at each moment what it is doing.

    python -m tests.index.embedded.enrolling_process FOLDER FIRST_OPERATION FOLDING_GROWTH

A line "enrolment begins 7" comes before the seventh operation is asked for, "enrolment ends 7" after the gallery has
acknowledged it. What the gallery does by itself, such as "saving the snapshot", begins and ends without a number.
"""

import logging
import os
import sys
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from index.embedded.index_sizes import IndexSizes
from index.embedded.opening import open_gallery
from index.gallery.enrolment import Enrolment
from index.gallery.filters import Filter
from index.gallery.gallery import Gallery
from index.gallery.record import Record
from model.box import Box
from tests.index.embedded.gallery_oracle import State
from tests.index.records import MODEL, enrolment, vector

# More than the coarse part of a folded vector has, so that there is a fine one.
DIM: Final = 130
# A snapshot is saved, a block compacted and a folding learned every few batches.
SIZES: Final = IndexSizes(
    block_rows=48,
    first_folding=32,
    folding_growth=4,
    sample_rows=64,
    first_save=16,
    fewest_saved=1,
    left_free_bytes=0,
)
BATCH: Final = 20
# Of a batch, in frames of five vehicles each, which leave with the next deletion and which later.
LEAVING: Final = 13
# A batch is deleted as a whole when so many have come after it: so many records are there at most.
KEPT_BATCHES: Final = 15
OPERATIONS: Final = (
    "enrolment",
    "update",
    "patch of many",
    "deletion of many",
    "undo",
    "deletion",
    "deletion of a batch",
)
UNDO_FOR: Final = timedelta(hours=1)
# It opens the gallery anew after so many operations.
OPENED_FOR: Final = 30


class Operation(NamedTuple):
    """One call of the gallery, which has all of its effect or none."""

    name: str
    number: int

    @property
    def batch(self) -> int:
        return self.number // len(OPERATIONS)

    def ask(self, gallery: Gallery) -> None:
        """Asks for it; it is acknowledged when this returns."""
        if self.name == "enrolment":
            gallery.enrol(enrolments(self.batch))
        elif self.name == "update":
            gallery.update(enrolments(self.batch)[-1].record.id, {"camera": "south"})
        elif self.name == "patch of many":
            where = Filter(identity=f"leaving {self.batch}")
            gallery.update_passing(where, {"camera": "west"}, gallery.count(where))
        elif self.name == "deletion of many":
            where = Filter(identity=f"leaving {self.batch}", cameras=("west",))
            gallery.delete_passing(where, gallery.count(where))
        elif self.name == "undo":
            # It may have been cut short after it was done.
            if not gallery.known([enrolments(self.batch)[0].record.id]):
                gallery.undo(gallery.deletions()[0].id)
        elif self.name == "deletion":
            gallery.delete_passing(Filter(identity=f"leaving {self.batch}"))
        else:
            gallery.delete_passing(Filter(identity=f"staying {self.batch - KEPT_BATCHES}"))

    def effect(self, state: State) -> State:
        """What it makes of the records."""
        if self.name == "enrolment":
            records = [one.record for one in enrolments(self.batch)]
            return {**state, **{record.id: record for record in records if record.id not in state}}
        if self.name == "update":
            id_ = enrolments(self.batch)[-1].record.id
            changed = replace(state[id_], fields=replace(state[id_].fields, camera="south"))
            return {**state, id_: changed}
        if self.name == "patch of many":
            return {id_: self._patched(record) for id_, record in state.items()}
        if self.name == "undo":
            leaving = [self._patched(one.record) for one in enrolments(self.batch)[:LEAVING]]
            return {**state, **{record.id: record for record in leaving}}
        batch_gone = self.name == "deletion of a batch"
        gone = f"staying {self.batch - KEPT_BATCHES}" if batch_gone else f"leaving {self.batch}"
        return {id_: record for id_, record in state.items() if record.fields.identity != gone}

    def _patched(self, record: Record) -> Record:
        if record.fields.identity != f"leaving {self.batch}":
            return record
        return replace(record, fields=replace(record.fields, camera="west"))


def operation(number: int) -> Operation:
    """The operations 0, 1, .. follow each other."""
    return Operation(OPERATIONS[number % len(OPERATIONS)], number)


def enrolments(batch: int) -> list[Enrolment]:
    """Those of a batch: a seed always gives the same."""
    first = batch * BATCH
    return [
        enrolment(
            first + i,
            frame=first + i // 5,
            box=Box(9 * (i % 5), 0, 9, 9),
            embedding=vector(first + i, DIM),
            camera="north",
            identity=f"leaving {batch}" if i < LEAVING else f"staying {batch}",
        )
        for i in range(BATCH)
    ]


def main(folder: Path, first_operation: int, folding_growth: int) -> None:
    steps = logging.getLogger("index.embedded.logged_step")
    steps.setLevel(logging.DEBUG)
    steps.addHandler(_Steps())
    operations = map(operation, count(first_operation))
    while True:
        say("opening begins")
        sizes = replace(SIZES, folding_growth=folding_growth)
        gallery = open_gallery(folder, MODEL, DIM, sizes, undo_for=UNDO_FOR)
        say("opening ends")
        for _ in range(OPENED_FOR):
            asked = next(operations)
            say(f"{asked.name} begins {asked.number}")
            asked.ask(gallery)
            say(f"{asked.name} ends {asked.number}")
        say("closing begins")
        gallery.close()
        say("closing ends")


class _Steps(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def say(line: str) -> None:
    """In one write, since threads speak too."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
