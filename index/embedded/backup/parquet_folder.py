"""A gallery's folder as Parquet files and images, and back."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from index.embedded.backup.backing_up import StoppedError
from index.embedded.backup.staged_folder import staged_folder
from index.embedded.data_folder import DATABASE, owned
from index.embedded.disk import disk_errors
from index.embedded.generation import current_folder
from index.embedded.images.image_reader import ImageReader
from index.embedded.images.image_store import ImageStore
from index.embedded.records.record_reader import RecordReader
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.parquet_export import Export, ExportOutcome
from index.gallery.parquet_import import ExportedRecords, ImportOutcome, import_gallery
from index.gallery.verification import Progress


def export_folder(
    data_dir: Path, out: Path, compression: str, progress: Progress, stop_asked: Callable[[], bool]
) -> ExportOutcome:
    """Exports a gallery as it is at one moment, which a service may have open; `out` appears when it is complete.

    Raises:
        StoppedError: it was asked to stop, and nothing was exported.
        GalleryError: `out` is not empty, or the disk refuses.
    """
    source = ImageReader(data_dir)
    with staged_folder(out) as folder, disk_errors(folder):
        export = Export(folder, compression, progress, stop_asked)
        with RecordReader(current_folder(data_dir) / DATABASE) as records, records.frozen():
            export.write_records(records.walk(), records.num_records())
            target = ImageStore(folder / "images", folder / "trash")
            export.write_images(records.contents(), records.num_images(), source.get_also_from_trash, target)
        if export.outcome.stopped:
            raise StoppedError("stopped; nothing was exported")
        export.finish()
    return export.outcome


def import_folder(
    exported_dir: Path, data_dir: Path, progress: Progress, stop_asked: Callable[[], bool]
) -> ImportOutcome:
    """Imports an export into a new or an existing gallery, which nobody has open.

    Raises:
        ParquetError: the export cannot be read.
        GalleryLockedError: a service has the gallery open.
        GalleryError: the disk refuses.
    """
    exported = ExportedRecords(exported_dir)
    with disk_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
    with owned(data_dir):
        files = ImageStore(data_dir / "images", data_dir / "trash")
        with closing(SqliteRecordStore(current_folder(data_dir) / DATABASE, may_create=files.is_empty())) as store:
            return import_gallery(exported, ImageReader(exported_dir), store, files, progress, stop_asked)
