"""Takes the records and images of an export into a gallery, as they are: of whichever model, with their times."""

import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final

from index.gallery.errors import GalleryError
from index.gallery.image_files import ImageFiles
from index.gallery.kept_images import KeptImages
from index.gallery.parquet_export import CONTENTS, FORMAT
from index.gallery.record import Record, record_id
from index.gallery.record_parquet import ParquetError, StoredRecord, embedding_dim, read_records
from index.gallery.record_store import RecordStore
from index.gallery.verification import Progress, VerifiedImages

# Records in one transaction.
CHUNK: Final = 256
_BATCH_ROWS: Final = 1024


@dataclass
class ImportOutcome:
    """What became of an import.

    Attributes:
        num_records: in the export.
        imported, duplicates: records that are there now, and that were there already: nothing of those changed.
        differing: those of the duplicates that have other fields or another embedding in the gallery.
        damaged_records: the ids of records that are not as they were exported; they were left out.
        lost_images: what is wrong with each image of an imported record that neither the export nor the gallery has.
        stopped: it was asked to stop; the same import goes on.
    """

    num_records: int = 0
    imported: int = 0
    duplicates: int = 0
    differing: int = 0
    damaged_records: list[str] = field(default_factory=list)
    lost_images: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class ExportedRecords:
    """The records of an export's folder.

    Attributes:
        num_records: how many ``export.json`` announces.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there.

        Raises:
            ParquetError: it is no export, or not all of one.
        """
        path = folder / CONTENTS
        try:
            described = json.loads(path.read_bytes())
            files: dict[str, int] = described["files"]
            if described["format"] != FORMAT:
                raise ParquetError(f"{path} has the format {described['format']!r}, this program reads {FORMAT!r}")
            self.num_records = sum(files.values())
        except FileNotFoundError:
            raise ParquetError(f"in {folder} there is no export: it has no {CONTENTS}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ParquetError(f"{path} is damaged: {error}") from error
        missing = sorted(name for name in files if not (folder / name).is_file())
        if missing:
            raise ParquetError(f"the export in {folder} lacks {', '.join(missing)}")
        # Files of one size of embedding follow each other.
        self._files_of_dim: dict[int, list[Path]] = {}
        for name in sorted(files):
            self._files_of_dim.setdefault(embedding_dim(folder / name), []).append(folder / name)

    def __iter__(self) -> Iterator[StoredRecord]:
        """Every record in the order of enrolment."""
        streams = [
            chain.from_iterable(read_records(path, _BATCH_ROWS) for path in paths)
            for paths in self._files_of_dim.values()
        ]
        return heapq.merge(*streams, key=lambda stored: stored.seq)


def import_gallery(
    exported: ExportedRecords,
    exported_images: VerifiedImages,
    store: RecordStore,
    files: ImageFiles,
    progress: Progress,
    stop_asked: Callable[[], bool],
) -> ImportOutcome:
    """Stores every record that is not there yet, with its image; the caller owns the gallery.

    A record that is there damaged is replaced, and a lost image restored. What is done is durable after each chunk.

    Raises:
        ParquetError: a file cannot be read; what was read before it is imported.
        GalleryError: the gallery cannot be written.
    """
    outcome = ImportOutcome()
    kept = KeptImages(files, store)
    remaining = iter(exported)
    while chunk := list(islice(remaining, CHUNK)):
        if stop_asked():
            outcome.stopped = True
            return outcome
        outcome.num_records += len(chunk)
        _import_chunk(_intact(chunk, outcome), exported_images, store, kept, outcome)
        progress("records", outcome.num_records, exported.num_records)
    if outcome.num_records != exported.num_records:
        raise ParquetError(f"the export should have {exported.num_records} records, it has {outcome.num_records}")
    return outcome


def _intact(chunk: list[StoredRecord], outcome: ImportOutcome) -> list[Record]:
    records = []
    for _, id_, record, checksum in chunk:
        if record is None or record.checksum() != checksum or record.id != record_id(record.content, record.box):
            outcome.damaged_records.append(id_)
        else:
            records.append(record)
    return records


def _import_chunk(
    records: list[Record], source: VerifiedImages, store: RecordStore, kept: KeptImages, outcome: ImportOutcome
) -> None:
    known = {record.id: record for record in store.records_of([record.id for record in records])}
    fresh: dict[str, Record] = {}
    images: dict[str, Callable[[], bytes]] = {}
    for record in records:
        there = known.get(record.id) or fresh.get(record.id)
        if there is None:
            fresh[record.id] = record
        else:
            outcome.duplicates += 1
            outcome.differing += there.fields != record.fields or not _same_embedding(there, record)
        if record.content in images or kept.is_intact(record.content):
            continue
        try:
            source.get(record.content)
        except GalleryError as error:
            outcome.lost_images[record.content] = str(error)
        else:
            images[record.content] = partial(source.get, record.content)
    replaced = store.seqs_of(list(fresh))
    with kept.stored(images) if images else nullcontext():
        if fresh:
            with store.transaction() as writer:
                writer.delete(replaced)
                for record in fresh.values():
                    writer.insert(record)
    outcome.imported += len(fresh)


def _same_embedding(one: Record, other: Record) -> bool:
    return one.model == other.model and one.embedding.tobytes() == other.embedding.tobytes()
