"""A whole gallery as Parquet files and images, for other programs and other machines.

export.json             how many records each file has, and what was left out
records-00000.parquet   65,536 records at most, in the order of enrolment (see `record_parquet`)
images/ab/abcdef..      the image files, as in a gallery
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pyarrow.parquet as pq

from index.gallery.errors import GalleryError
from index.gallery.image_files import ImageFiles
from index.gallery.record import Record
from index.gallery.record_parquet import batch_of_records, record_schema
from index.gallery.verification import Progress, RowDescription

FORMAT: Final = "sanet-parquet-1"
CONTENTS: Final = "export.json"

# Rows in a row group, which is what a reader has in memory at a time: 40 MB of embeddings.
GROUP_ROWS: Final = 4096
FILE_ROWS: Final = 16 * GROUP_ROWS


@dataclass
class ExportOutcome:
    """What became of an export.

    Attributes:
        num_records, num_images: how many were written.
        damaged_records: (id, source) of the records that were left out.
        lost_images: what is wrong with each image that is not in the export, by its content.
        files: the number of records in each file, by its name.
        stopped: it was asked to stop, and is not complete.
    """

    num_records: int = 0
    num_images: int = 0
    damaged_records: list[tuple[str, str | None]] = field(default_factory=list)
    lost_images: dict[str, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    stopped: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return not (self.stopped or self.damaged_records or self.lost_images)

    def to_dict(self) -> dict[str, Any]:
        """What `python -m index.parquet export --json` prints, but for the folder."""
        return {
            "records": self.num_records,
            "images": self.num_images,
            "files": self.files,
            "damaged_records": [id_ for id_, _ in self.damaged_records],
            "lost_images": [{"content": content, "problem": problem} for content, problem in self.lost_images.items()],
        }

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What became of the finished export in a folder.

        Raises:
            GalleryError: there is none, or one of another program.
        """
        path = folder / CONTENTS
        try:
            described = json.loads(path.read_bytes())
            if described["format"] != FORMAT:
                raise GalleryError(f"{path} has the format {described['format']!r}, this program reads {FORMAT!r}")
            return cls(
                num_records=sum(described["files"].values()),
                num_images=described["num_images"],
                damaged_records=[(one["id"], one["source"]) for one in described["damaged_records"]],
                lost_images={one["content"]: one["problem"] for one in described["lost_images"]},
                files=described["files"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise GalleryError(f"in {folder} there is no finished export: {path.name} cannot be read") from error


@dataclass
class Export:
    """An export under way.

    Attributes:
        folder: empty; what is written into it is on disk when a method returns.
        compression: of the Parquet files, ``"zstd"`` or ``"none"``.
        progress: told how far it is.
        stop_asked: whether to stop.
        group_rows, file_rows: rows in a row group and in a file, at most.
        outcome: what became of it so far.
    """

    folder: Path
    compression: str
    progress: Progress
    stop_asked: Callable[[], bool]
    group_rows: int = GROUP_ROWS
    file_rows: int = FILE_ROWS
    outcome: ExportOutcome = field(default_factory=ExportOutcome)

    def write_records(self, records: Iterable[tuple[int, Record | RowDescription]], total: int) -> None:
        """Writes (seq, record), seqs rising; embeddings of different sizes go to different files."""
        files: dict[int, _RecordFile] = {}
        waiting: dict[int, list[tuple[int, Record]]] = {}
        try:
            for done, (seq, record) in enumerate(records, start=1):
                if self.stop_asked():
                    self.outcome.stopped = True
                    return
                self.progress("records", done, total)
                if not isinstance(record, Record):
                    self.outcome.damaged_records.append((record.id, record.source))
                    continue
                dim = len(record.embedding)
                waiting.setdefault(dim, []).append((seq, record))
                if len(waiting[dim]) == self.group_rows:
                    self._write_group(files, waiting.pop(dim))
            for group in waiting.values():
                self._write_group(files, group)
        finally:
            for file in files.values():
                file.close()

    def write_images(
        self, contents: Iterable[str], total: int, read: Callable[[str], bytes], files: ImageFiles
    ) -> None:
        """Writes the images of these contents to `files`; one that `read` refuses is left out and named."""
        files.put(self._images(contents, total, read))

    def finish(self) -> None:
        """Writes ``export.json``, by which an import knows whether it has everything."""
        outcome = self.outcome
        described = {
            "format": FORMAT,
            "files": outcome.files,
            "num_images": outcome.num_images,
            "damaged_records": [{"id": id_, "source": source} for id_, source in outcome.damaged_records],
            "lost_images": outcome.to_dict()["lost_images"],
        }
        with (self.folder / CONTENTS).open("w", encoding="utf-8") as file:
            file.write(json.dumps(described, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _images(self, contents: Iterable[str], total: int, read: Callable[[str], bytes]) -> Iterator[tuple[str, bytes]]:
        for done, content in enumerate(contents, start=1):
            if self.stop_asked():
                self.outcome.stopped = True
                return
            self.progress("images", done, total)
            try:
                data = read(content)
            except GalleryError as error:
                self.outcome.lost_images[content] = str(error)
                continue
            self.outcome.num_images += 1
            yield content, data

    def _write_group(self, files: dict[int, "_RecordFile"], group: list[tuple[int, Record]]) -> None:
        dim = len(group[0][1].embedding)
        if dim in files and files[dim].num_rows + len(group) > self.file_rows:
            files.pop(dim).close()
        if dim not in files:
            name = f"records-{len(self.outcome.files):05d}.parquet"
            files[dim] = _RecordFile(self.folder / name, dim, self.compression)
        files[dim].write(group)
        self.outcome.files[files[dim].path.name] = files[dim].num_rows
        self.outcome.num_records += len(group)


class _RecordFile:
    """One Parquet file that is being written."""

    def __init__(self, path: Path, embedding_dim: int, compression: str) -> None:
        self.path = path
        self.num_rows = 0
        # Embeddings do not repeat: a dictionary of them would only cost time.
        options: dict[str, Any] = {"compression": compression, "use_dictionary": ["camera", "fingerprint", "precision"]}
        self._writer = pq.ParquetWriter(path, record_schema(embedding_dim), **options)

    def write(self, group: list[tuple[int, Record]]) -> None:
        self._writer.write_batch(batch_of_records(group), row_group_size=len(group))
        self.num_rows += len(group)

    def close(self) -> None:
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
