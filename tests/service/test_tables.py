from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update

from service.tables import Tables

METADATA = MetaData()
COUNTED = Table("counted", METADATA, Column("number", Integer))


@pytest.fixture
def tables(tmp_path: Path, database: str | None) -> Iterator[Tables]:
    with closing(Tables.open(tmp_path / "counted.sqlite", database)) as tables:
        tables.create(METADATA)
        yield tables


def test_whoever_writes_has_read_what_the_one_before_wrote(
    tables: Tables, tmp_path: Path, database: str | None
) -> None:
    with tables.writing.begin() as connection:
        connection.execute(insert(COUNTED).values(number=0))

    def count(others: Tables) -> None:
        for _ in range(10):
            with others.writing.begin() as connection:
                number = connection.execute(select(COUNTED.c.number)).scalar_one()
                connection.execute(update(COUNTED).values(number=number + 1))

    # Also through connections of another process, as these are.
    with closing(Tables.open(tmp_path / "counted.sqlite", database)) as others, ThreadPoolExecutor(4) as pool:
        list(pool.map(count, [tables, others, tables, others]))
    with tables.engine.connect() as connection:
        assert connection.execute(select(COUNTED.c.number)).scalar_one() == 40


def test_a_reader_waits_for_no_writer(tables: Tables) -> None:
    with tables.writing.begin() as writing:
        writing.execute(insert(COUNTED).values(number=1))
        with tables.engine.connect() as reading:
            assert reading.execute(select(COUNTED.c.number)).all() == []


def test_many_make_the_tables_at_once(tmp_path: Path, database: str | None) -> None:
    def create(_: int) -> None:
        with closing(Tables.open(tmp_path / "counted.sqlite", database)) as tables:
            tables.create(METADATA)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(8)))


def test_where_they_are_is_said_without_secrets(tmp_path: Path) -> None:
    file = Tables.open(tmp_path / "jobs.sqlite", None)
    assert (file.place, file.is_shared) == (str(tmp_path / "jobs.sqlite"), False)
    shared = Tables.open(tmp_path / "jobs.sqlite", "postgresql://user:s3cret@db.example/sanet")
    assert (shared.place, shared.is_shared) == ("the database sanet at db.example", True)
    assert shared.message("wrong s3cret\n  in two lines") == "wrong *** in two lines"
