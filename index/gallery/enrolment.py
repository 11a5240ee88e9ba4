"""What is enrolled: a record and its image. Which of a batch are new, and which are there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from index.gallery.answers import Enrolled
from index.gallery.record import ModelKey, Record


@dataclass(frozen=True)
class Enrolment:
    """A record to be stored, and how to read the bytes of its image file: a batch need not fit into the memory."""

    record: Record
    read_image: Callable[[], bytes]


@dataclass(frozen=True)
class SortedBatch:
    """A batch of enrolments, told apart.

    Attributes:
        results: what will have become of each, in the order of the batch.
        fresh: those to be stored, with the fields that they will have.
        images_of_duplicates: by content, how to read each image that only duplicates show; a lost one is restored.
    """

    results: list[Enrolled]
    fresh: list[Enrolment]
    images_of_duplicates: dict[str, Callable[[], bytes]]


def sort_batch(batch: Sequence[Enrolment], stored: Mapping[str, Record], model: ModelKey) -> SortedBatch:
    """Tells new records from duplicates, also within the batch.

    A record that another model embedded is embedded anew and keeps its fields.

    Args:
        batch: all of them made by `model`.
        stored: by id, the intact records that are there already.
        model: whose embeddings are searched.
    """
    known = dict(stored)
    results: list[Enrolled] = []
    fresh: list[Enrolment] = []
    images: dict[str, Callable[[], bytes]] = {}
    for enrolment in batch:
        record = enrolment.record
        old = known.get(record.id)
        differing = () if old is None else tuple(old.fields.differing(record.fields))
        duplicate = old is not None and old.model == model
        results.append(Enrolled(record.id, duplicate, differing))
        if duplicate:
            images[record.content] = enrolment.read_image
            continue
        if old is not None:
            record = replace(record, fields=old.fields)
        known[record.id] = record
        fresh.append(replace(enrolment, record=record))
    # The image of a new record is stored with it.
    for enrolment in fresh:
        images.pop(enrolment.record.content, None)
    return SortedBatch(results, fresh, images)
