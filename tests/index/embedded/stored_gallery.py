"""A small gallery on disk, written without an index: records of two models, two vehicles in a frame, a trash."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from index.embedded.images.image_store import ImageStore
from index.embedded.records.record_reader import RecordReader
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.record import Record
from tests.index.records import LEFT, OTHER_MODELS, RIGHT, image, record, values

TIME = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
NUM_PLAIN = 12
RECORDS = [
    record(
        1,
        identity="van 7",
        camera="Nørth",
        captured_at=TIME,
        latitude=50.5,
        longitude=-8.25,
        tags=("red", "größe"),
        source="a/b.jpg",
        attributes={"pilot": "Kim", "höhe": "40 m"},
    ),
    record(2, frame=90, box=LEFT, source="frame.jpg"),
    record(3, frame=90, box=RIGHT, source="frame.jpg"),
    record(4, model=OTHER_MODELS[0], embedding=None, identity="of another model"),
    *(record(seed, identity=f"x{seed}", camera="south", source=f"{seed}.jpg") for seed in range(5, 5 + NUM_PLAIN)),
]
"""By their order: the seqs are 1 to 16."""

FRAMES = {
    record.content: image(frame) for record, frame in zip(RECORDS, [1, 90, 90, *range(4, 5 + NUM_PLAIN)], strict=True)
}
TRASHED = record(99)


def write_gallery(folder: Path, records: Sequence[Record] = RECORDS) -> Path:
    """`RECORDS` with their images, and in the trash an image that no record names."""
    files = ImageStore(folder / "images", folder / "trash")
    files.put([*FRAMES.items(), (TRASHED.content, image(99))])
    files.discard([TRASHED.content])
    with closing(SqliteRecordStore(folder / "gallery.sqlite")) as store, store.transaction() as writer:
        for one in records:
            writer.insert(one)
    return folder


def image_path(folder: Path, content: str) -> Path:
    return folder / "images" / content[:2] / content


def trash_path(folder: Path, content: str) -> Path:
    (path,) = (folder / "trash").rglob(content)
    return path


def throw_into_trash(folder: Path, content: str, copy: bool = False) -> None:
    """Puts an image's file, or a copy of it, into the trash behind the gallery's back."""
    target = folder / "trash" / "2026-01-02" / "images" / content[:2] / content
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image_path(folder, content), target)
    if not copy:
        image_path(folder, content).unlink()


def stored_values(folder: Path) -> dict[str, dict[str, Any]]:
    """Everything in every intact record, by id, in the order of enrolment."""
    with RecordReader(folder / "gallery.sqlite") as reader:
        return {one.id: values(one) for _, one in reader.walk() if isinstance(one, Record)}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
