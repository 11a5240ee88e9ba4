import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.results_csv import Cell, csv_bytes, guarded, unguarded


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-2", "'-2"),
        ("@A1", "'@A1"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("'quoted", "''quoted"),
        ("a=1", "a=1"),
        ("", ""),
        (" =1", " =1"),
    ],
)
def test_a_text_that_would_run_is_marked(text: str, cell: str) -> None:
    assert guarded(text) == cell
    assert unguarded(cell) == text


def test_every_cell_is_quoted_and_numbers_stay() -> None:
    rows: list[list[Cell]] = [["a", 1, -2.5, None], ['say "hi"', 0.1, 1e-20, "x,y"], ["=\r\n", 2**60, 3, "ü"]]
    assert csv_bytes(rows) == (
        b'"a","1","-2.5",""\n"say ""hi""","0.1","1e-20","x,y"\n"\'=\r\n","1152921504606846976","3","\xc3\xbc"\n'
    )


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2)))
def test_what_is_read_back_is_what_was_written(rows: list[list[str]]) -> None:
    assert [[unguarded(cell) for cell in row] for row in read(csv_bytes(rows))] == rows
