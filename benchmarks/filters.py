"""How long a filter takes over the columns in memory, beside reading the bytes that it needs, and beside SQLite.

    python -m benchmarks.filters [--records 1000000] [--rounds 21] [--sqlite] [--quick] [--json]

The records are synthetic: five of each vehicle, 200 cameras, a year, places all different in 33 by 37 km, a source of
its own for each record, 0 to 3 of 300 tags (the first of them the most frequent), and four attributes, of which colour
and make have 12 and 40 values, plate and track one for each vehicle and record.

Each condition is one `RecordColumns.passing` for each block of 65,536 records, in one thread. ``ms`` is the processor's
time, the median of the rounds: what others do on the machine does not count; ``wall_ms`` is what passed. ``floor_ms``
reads the columns of the condition and writes a byte for each row, at the rate of a large copy in the same process. With
--sqlite the same records go into a table as the gallery keeps them, and ``sqlite_ms`` is the time of the same filter
there; that takes some minutes.
"""

import argparse
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from index.command_parser import CommandParser
from index.embedded.records.filter_sql import distance_m_or_null, sql_condition
from index.embedded.records.record_table import COLUMNS, SCHEMA, record_to_row
from index.embedded.search.inverted_index import NUM_ROWS
from index.embedded.search.record_columns import RecordColumns
from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near
from index.gallery.record import ModelKey, Record
from model.box import Box
from model.cores import usable_cores
from training.arguments import at_least_one

_START = datetime(2026, 1, 1, tzinfo=UTC)
_CENTRE = (48.15, 11.55)
_EMBEDDING = np.zeros(1, np.float32)
_THETA = np.zeros((2, 3), np.float32)
_MODEL = ModelKey("0" * 64, "float32")
_BOX = Box(0, 0, 60, 40)
_NUM_SET = 1000

# Each with the bytes of its columns for each row: codes and times have 8, places 16, tags and attributes only a byte
# that says whether a row passes.
CONDITIONS: list[tuple[str, int, Filter]] = [
    ("none", 0, Filter()),
    ("identity", 8, Filter(identity="vehicle 17")),
    ("camera", 8, Filter(cameras=("camera 7",))),
    ("20 cameras", 8, Filter(cameras=tuple(f"camera {number}" for number in range(20)))),
    ("frequent tag", 0, Filter(tags=("tag 0",))),
    ("rare tag", 0, Filter(tags=("tag 299",))),
    ("a day", 8, Filter(captured_after=_START + timedelta(days=9), captured_before=_START + timedelta(days=10))),
    ("until the half year", 8, Filter(captured_before=_START + timedelta(days=183))),
    ("within 500 m", 16, Filter(near=Near(*_CENTRE, 500))),
    ("within 10 km", 16, Filter(near=Near(*_CENTRE, 10_000))),
    ("within 20,000 km", 16, Filter(near=Near(*_CENTRE, 20_000_000))),
    ("source", 8, Filter(source="flight/frame 000017.jpg")),
    ("frequent attribute", 0, Filter(attributes=(("colour", "colour 3"),))),
    ("rare attribute", 0, Filter(attributes=(("track", "track 17"),))),
    (
        "camera, day, tag, colour, circle",
        32,
        Filter(
            cameras=("camera 7",),
            captured_after=_START,
            captured_before=_START + timedelta(days=10),
            tags=("tag 0",),
            attributes=(("colour", "colour 3"),),
            near=Near(*_CENTRE, 10_000),
        ),
    ),
]  # fmt: skip


def record_batches(num_records: int) -> Iterator[list[Record]]:
    """The synthetic records, a block at a time."""
    rng = np.random.default_rng(0)
    for start in range(0, num_records, NUM_ROWS):
        yield [_record(number, rng) for number in range(start, min(start + NUM_ROWS, num_records))]


def _record(number: int, rng: np.random.Generator) -> Record:
    vehicle = number // 5
    colour, make, camera = rng.integers((12, 40, 200)).tolist()
    day, latitude, longitude = rng.random(3).tolist()
    # The square prefers small numbers.
    tags = (300 * rng.random(int(rng.integers(4))) ** 2).astype(int).tolist()
    fields = Fields(
        identity=f"vehicle {vehicle}",
        camera=f"camera {camera}",
        captured_at=_START + timedelta(days=365 * day),
        latitude=48.0 + 0.3 * latitude,
        longitude=11.3 + 0.5 * longitude,
        tags=tuple(f"tag {tag}" for tag in tags),
        source=f"flight/frame {number:06}.jpg",
        attributes={
            "colour": f"colour {colour}",
            "make": f"make {make}",
            "plate": f"plate {vehicle}",
            "track": f"track {number}",
        },
    )
    return Record(f"{number:032x}", "0" * 64, "image/jpeg", _BOX, False, fields, _EMBEDDING, _THETA, _MODEL, _START)


def measure(num_records: int, num_rounds: int, sqlite: Path | None) -> dict[str, Any]:
    """All conditions over that many records, in SQLite too if there is a path for it; JSON values."""
    blocks: list[RecordColumns] = []
    put_s = 0.0
    with tqdm(total=num_records, unit="record", disable=None) as bar:
        for records in record_batches(num_records):
            blocks.append(RecordColumns())
            put_s += seconds(partial(blocks[-1].put, 0, [record.fields for record in records]))[0]
            if sqlite is not None:
                _insert(sqlite, records)
            bar.update(len(records))
    bytes_per_s = copy_rate()
    rows = [_measure_condition(blocks, *condition, num_rounds, bytes_per_s, sqlite) for condition in CONDITIONS]

    changed = Fields(identity="another", tags=("new",), attributes={"colour": "none"})
    headline = {
        "slowest_condition_ms": max(row["ms"] for row in rows),
        "bytes_per_record": bytes_per_record(num_records),
        "bytes_per_record_with_tags_and_attributes": sum(block.nbytes for block in blocks) / num_records,
        "put_us_per_record": 1e6 * put_s / num_records,
        "copy_half_ms": 1e3 * median_seconds(lambda: copy_half(blocks), 3)[0],
    }
    set_s = [
        seconds(partial(blocks[0].set, np.array([row]), [changed]))[0] for row in range(min(_NUM_SET, num_records))
    ]
    headline["set_us_per_record"] = 1e6 * statistics.fmean(set_s)
    machine = {
        "processor": platform.machine(),
        "num_cores": usable_cores(),
        "numpy": np.__version__,
        "copy_gb_per_s": bytes_per_s / 1e9,
    }
    return {"headline": headline, "rows": rows, "machine": {**machine, "num_records": num_records}}


def _measure_condition(
    blocks: Sequence[RecordColumns],
    name: str,
    num_bytes: int,
    where: Filter,
    num_rounds: int,
    bytes_per_s: float,
    sqlite: Path | None,
) -> dict[str, Any]:
    cpu_s, wall_s = median_seconds(lambda: [block.passing(where) for block in blocks], num_rounds)
    num_passing = sum(int(block.passing(where).sum()) for block in blocks)
    row: dict[str, Any] = {
        "condition": name,
        "passing": num_passing,
        "ms": 1e3 * cpu_s,
        "wall_ms": 1e3 * wall_s,
        "floor_ms": 1e3 * (num_bytes + 1) * sum(block.num_rows for block in blocks) / bytes_per_s,
    }
    if sqlite is not None:
        with closing(_connect(sqlite)) as connection:
            condition, parameters = sql_condition(where)
            sql = f"SELECT seq FROM record WHERE {condition}"

            def select() -> int:
                return len(connection.execute(sql, parameters).fetchall())

            if select() != num_passing:
                raise RuntimeError(f"{name}: {num_passing} records pass in memory, but {select()} in SQLite")
            row["sqlite_ms"] = 1e3 * median_seconds(select, min(num_rounds, 3))[0]
    return row


def bytes_per_record(num_records: int) -> float:
    """Without tags and attributes: a block of rows whose fields are empty."""
    num_rows = min(num_records, NUM_ROWS)
    columns = RecordColumns()
    columns.put(0, [Fields()] * num_rows)
    return columns.nbytes / num_rows


def copy_half(blocks: Sequence[RecordColumns]) -> None:
    """Every second row of each block into a new one, as compaction does."""
    for block in blocks:
        RecordColumns().put_rows_of(block, np.arange(0, block.num_rows, 2))


def copy_rate() -> float:
    """Bytes per second, read and written, of a copy that no cache holds."""
    source = np.ones(16_000_000)
    target = np.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: np.copyto(target, source), 5)[0]


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """The processor's time of this thread, and what passed."""
    start_wall, start_cpu = time.perf_counter(), time.thread_time()
    work()
    return time.thread_time() - start_cpu, time.perf_counter() - start_wall


def median_seconds(work: Callable[[], object], num_rounds: int) -> tuple[float, float]:
    """Medians of `seconds`; a first round warms up."""
    work()
    cpu_s, wall_s = zip(*(seconds(work) for _ in range(num_rounds)), strict=True)
    return statistics.median(cpu_s), statistics.median(wall_s)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("distance_m_or_null", 4, distance_m_or_null, deterministic=True)
    return connection


def _insert(path: Path, records: list[Record]) -> None:
    names = [name.strip() for name in COLUMNS.split(",")][1:-2]
    sql = f"INSERT INTO record ({','.join(names)}) VALUES ({','.join('?' * len(names))})"
    is_new = not path.exists()
    with closing(_connect(path)) as connection:
        if is_new:
            connection.executescript(SCHEMA)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany(sql, ([*record_to_row(record), b""] for record in records))
        connection.execute("COMMIT")


def table(result: dict[str, Any]) -> str:
    """The result for a reader."""
    has_sqlite = "sqlite_ms" in result["rows"][0]
    lines = [f"{'condition':34}{'passing':>10}{'ms':>9}{'wall':>9}{'floor':>9}" + f"{'SQLite':>10}" * has_sqlite]
    for row in result["rows"]:
        line = f"{row['condition']:34}{row['passing']:10}{row['ms']:9.2f}{row['wall_ms']:9.2f}{row['floor_ms']:9.2f}"
        lines.append(line + (f"{row['sqlite_ms']:10.1f}" if has_sqlite else ""))
    lines += [f"{name:44}{value:9.2f}" for name, value in result["headline"].items()]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = CommandParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--records", type=at_least_one, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--rounds", type=at_least_one, default=21, help="how often each condition is timed")
    parser.add_argument("--sqlite", action="store_true", help="the same filters in SQLite")
    parser.add_argument("--quick", action="store_true", help="20,000 records and 5 rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as the last line")
    args: argparse.Namespace = parser.parse_args()
    num_records, num_rounds = (20_000, 5) if args.quick else (args.records, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(num_records, num_rounds, Path(folder) / "gallery.sqlite" if args.sqlite else None)
    print(json.dumps(result) if args.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
