import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from index.gallery.errors import GalleryError
from index.gallery.parquet_export import Export
from index.gallery.record import Record
from index.gallery.record_parquet import read_records
from index.gallery.verification import RowDescription
from tests.index.gallery.memory_backend import DictImages
from tests.index.records import image, record, values, vector

DAMAGED = RowDescription("d" * 32, "c" * 64, "0,0,1,1", "lost.jpg", "it is broken")


def export(folder: Path, compression: str = "zstd", stop_at: int = -1) -> Export:
    seen: list[int] = []
    return Export(
        folder, compression, lambda *_: seen.append(1), lambda: len(seen) == stop_at, group_rows=4, file_rows=8
    )


def read(folder: Path, names: Sequence[str]) -> list[tuple[int, Record | None]]:
    return [(one.seq, one.record) for name in names for one in read_records(folder / name, 3)]


@pytest.mark.parametrize("num_records", [0, 1, 4, 7, 8, 9, 21])
def test_files_follow_each_other_in_the_order_of_enrolment(tmp_path: Path, num_records: int) -> None:
    items = [(2 * seed, record(seed)) for seed in range(1, num_records + 1)]
    written = export(tmp_path)
    written.write_records(items, num_records)
    written.finish()
    names = [f"records-{number:05d}.parquet" for number in range(-(-num_records // 8))]
    assert list(written.outcome.files) == names
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == names
    assert [(seq, one and values(one)) for seq, one in read(tmp_path, names)] == [(s, values(r)) for s, r in items]
    described = json.loads((tmp_path / "export.json").read_text())
    assert described == {
        "format": "sanet-parquet-1",
        "files": written.outcome.files,
        "num_images": 0,
        "damaged_records": [],
        "lost_images": [],
    }
    for name in names:
        groups = pq.ParquetFile(tmp_path / name).metadata
        assert all(groups.row_group(i).num_rows <= 4 for i in range(groups.num_row_groups))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_the_compression_is_chosen(tmp_path: Path, compression: str) -> None:
    export(tmp_path, compression).write_records([(1, record(1))], 1)
    column = pq.ParquetFile(tmp_path / "records-00000.parquet").metadata.row_group(0).column(0)
    assert column.compression == {"zstd": "ZSTD", "none": "UNCOMPRESSED"}[compression]


def test_embeddings_of_another_size_go_to_another_file(tmp_path: Path) -> None:
    items = [(seed, record(seed, embedding=vector(seed, 5) if seed % 2 else None)) for seed in range(1, 8)]
    written = export(tmp_path)
    written.write_records(items, 7)
    assert sorted(written.outcome.files.values()) == [3, 4]
    found = sorted(read(tmp_path, list(written.outcome.files)), key=lambda item: item[0])
    assert [(seq, one and values(one)) for seq, one in found] == [(seq, values(one)) for seq, one in items]


def test_damaged_records_are_left_out_and_named(tmp_path: Path) -> None:
    written = export(tmp_path)
    written.write_records([(1, record(1)), (2, DAMAGED), (3, record(3))], 3)
    assert written.outcome.num_records == 2
    assert written.outcome.damaged_records == [(DAMAGED.id, "lost.jpg")]
    assert [seq for seq, _ in read(tmp_path, ["records-00000.parquet"])] == [1, 3]


def test_images_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    def read_image(content: str) -> bytes:
        if content == record(2).content:
            raise GalleryError("it is gone")
        return image(1)

    files = DictImages()
    written = export(tmp_path)
    written.write_images([record(1).content, record(2).content], 2, read_image, files)
    assert files.files == {record(1).content: image(1)}
    assert written.outcome.num_images == 1
    assert written.outcome.lost_images == {record(2).content: "it is gone"}


def test_it_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    written = export(tmp_path, stop_at=5)
    written.write_records([(seed, record(seed)) for seed in range(1, 20)], 19)
    assert written.outcome.stopped
    assert written.outcome.num_records == 4
