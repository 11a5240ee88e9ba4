import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import filters as benchmark
from index.embedded.search.record_columns import RecordColumns
from index.gallery.filters import Filter

HEADLINE = {
    "slowest_condition_ms",
    "bytes_per_record",
    "bytes_per_record_with_tags_and_attributes",
    "put_us_per_record",
    "copy_half_ms",
    "set_us_per_record",
}


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["benchmarks.filters", "--records", "3000", "--rounds", "2", *arguments])
    assert benchmark.main() == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "copy_rate", lambda: 1e9)


def test_the_records_are_those_of_the_model_and_always_the_same() -> None:
    [records] = benchmark.record_batches(3000)
    [again] = benchmark.record_batches(3000)
    fields = [record.fields for record in records]
    assert fields == [record.fields for record in again]
    assert len({f.identity for f in fields}) == 600
    assert len({f.source for f in fields}) == 3000
    assert len({f.camera for f in fields}) == 200
    assert {len(f.tags) for f in fields} == {0, 1, 2, 3}
    assert all(sorted(f.attributes) == ["colour", "make", "plate", "track"] for f in fields)


def test_every_condition_is_measured_and_selects_what_its_predicate_selects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [records] = benchmark.record_batches(3000)
    *_, last = printed(monkeypatch, capsys, "--json")
    result: dict[str, Any] = json.loads(last)
    assert set(result) == {"headline", "rows", "machine"}
    expected = {name: sum(where.matches(record) for record in records) for name, _, where in benchmark.CONDITIONS}
    assert {row["condition"]: row["passing"] for row in result["rows"]} == expected
    assert expected["none"] == 3000
    # The other conditions let some pass and hold some back: for the narrowest two, 3000 records are too few.
    assert {name for name, passing in expected.items() if passing == 3000} == {"none", "within 20,000 km"}
    assert {name for name, passing in expected.items() if passing == 0} == {
        "within 500 m",
        "camera, day, tag, colour, circle",
    }
    for row in result["rows"]:
        assert row["ms"] >= 0
        assert row["wall_ms"] > 0
        assert "sqlite_ms" not in row
    floors = {row["condition"]: row["floor_ms"] for row in result["rows"]}
    assert floors["identity"] == pytest.approx(9 * 3000 / 1e9 * 1e3)
    assert set(result["headline"]) == HEADLINE
    assert result["headline"]["bytes_per_record"] == 48
    assert result["headline"]["slowest_condition_ms"] == max(row["ms"] for row in result["rows"])


def test_sqlite_selects_as_many(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    *_, last = printed(monkeypatch, capsys, "--json", "--sqlite")
    assert all(row["sqlite_ms"] > 0 for row in json.loads(last)["rows"])


def test_a_filter_that_selects_others_than_sqlite_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def all_pass(columns: RecordColumns, where: Filter) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.ones(columns.num_rows, np.bool_)

    monkeypatch.setattr(RecordColumns, "passing", all_pass)
    with pytest.raises(RuntimeError, match="identity: 3000 records pass in memory, but 5 in SQLite"):
        benchmark.measure(3000, 1, tmp_path / "gallery.sqlite")


def test_the_table_has_a_line_for_each_condition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *lines = printed(monkeypatch, capsys)
    assert first.split() == ["condition", "passing", "ms", "wall", "floor"]
    for (name, _, _), line in zip(benchmark.CONDITIONS, lines, strict=False):
        assert line.startswith(name + " ")
        assert len(line[34:].split()) == 4
    assert len(lines) == len(benchmark.CONDITIONS) + len(HEADLINE)


def test_no_records_are_no_benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.filters", "--records", "0"])
    with pytest.raises(SystemExit) as stop:
        benchmark.main()
    assert stop.value.code == 2
    assert "expected 1 or more" in capsys.readouterr().err
