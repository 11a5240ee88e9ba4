import math
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embedded.records.filter_sql import sql_condition
from index.embedded.records.record_store import SqliteRecordStore
from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.record_store import RecordStore
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from tests.index.records import OTHER_MODELS, record
from tests.postgres_server import PostgresServer

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EARTH_RADIUS_M = 6_371_008.8
# Ordinary ones, and such as would break SQL that was pasted together.
NAMES = ["north", "South", "dröhne", "' OR 1=1 --", "%", "", "no\nrth", '"]']
ATTRIBUTE_NAMES = ["colour", "Colour", 'a"b', "a\\b", "$.a", "größe", "🚗", "0"]
TAGS = ["van", "red", "re", "red,van", "RED", "r%", '"red"', "röt", "100%"]


def random_fields(rng: np.random.Generator) -> Fields:
    """Each field is missing from about a third of them."""

    def some(value: object) -> object:
        return None if rng.random() < 1 / 3 else value

    place = some((float(rng.uniform(-90, 90)), float(rng.uniform(-180, 180))))
    latitude, longitude = place if isinstance(place, tuple) else (None, None)
    identity, camera = some(str(rng.choice(NAMES))), some(str(rng.choice(NAMES)))
    captured_at = some(NOON + timedelta(hours=int(rng.integers(-5, 6))))
    assert identity is None or isinstance(identity, str)
    assert camera is None or isinstance(camera, str)
    assert captured_at is None or isinstance(captured_at, datetime)
    tags = tuple(str(tag) for tag in rng.choice(TAGS, rng.integers(0, 5)))
    source = some(str(rng.choice(NAMES)))
    assert source is None or isinstance(source, str)
    names = rng.choice(ATTRIBUTE_NAMES, rng.integers(0, 4), replace=False)
    attributes = {str(name): str(rng.choice(NAMES)) for name in names}
    return Fields(identity, camera, captured_at, latitude, longitude, tags, source, attributes)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[tuple[RecordStore, list[Record]]]:
    store: SqliteRecordStore | PostgresRecordStore
    if request.param == "sqlite":
        store = SqliteRecordStore(tmp_path_factory.mktemp("filters") / "gallery.sqlite")
    else:
        store = PostgresRecordStore(Database(postgres_server.create_database()))
    rng = np.random.default_rng(11)
    fields = [random_fields(rng) for _ in range(300)]
    records = [record(seed, **{name: getattr(f, name) for name in Fields.__slots__}) for seed, f in enumerate(fields)]
    with store.transaction() as writer:
        for one in records:
            writer.insert(one)
    yield store, records
    store.close()


def passes(where: Filter, fields: Fields) -> bool:
    return (
        (where.identity is None or fields.identity == where.identity)
        and (not where.cameras or fields.camera in where.cameras)
        and set(where.tags) <= set(fields.tags)
        and (
            where.captured_after is None
            or (fields.captured_at or datetime.min.replace(tzinfo=UTC)) >= where.captured_after
        )
        and (
            where.captured_before is None
            or (fields.captured_at or datetime.max.replace(tzinfo=UTC)) < where.captured_before
        )
        and (where.near is None or distance_m(fields, where.near) <= where.near.radius_m)
        and (where.source is None or fields.source == where.source)
        and set(where.attributes) <= set(fields.attributes.items())
    )


def distance_m(fields: Fields, near: Near) -> float:
    """The haversine formula, https://en.wikipedia.org/wiki/Haversine_formula."""
    if fields.latitude is None or fields.longitude is None:
        return math.inf
    a, b = math.radians(fields.latitude), math.radians(near.latitude)
    turn = math.radians(near.longitude - fields.longitude)
    half_chord = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(half_chord))


def times() -> st.SearchStrategy[datetime]:
    zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
    return st.builds(
        lambda hours, nudge, zone: (NOON + timedelta(hours=hours) + nudge * MICROSECOND).astimezone(zone),
        st.integers(-6, 6), st.integers(-1, 1), zones,
    )  # fmt: skip


circles = st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(1e5, 2.1e7))
filters = st.builds(
    Filter,
    identity=st.none() | st.sampled_from(NAMES),
    cameras=st.lists(st.sampled_from([*NAMES, "nowhere"]), max_size=4).map(tuple),
    tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    captured_after=st.none() | times(),
    captured_before=st.none() | times(),
    near=st.none() | circles,
    source=st.none() | st.sampled_from([*NAMES, "nowhere"]),
    attributes=st.lists(st.tuples(st.sampled_from(ATTRIBUTE_NAMES), st.sampled_from(NAMES)), max_size=2).map(tuple),
)


@settings(derandomize=True, max_examples=250, deadline=None)
@given(where=filters)
def test_a_filter_selects_what_a_naive_predicate_selects(
    stored: tuple[RecordStore, list[Record]], where: Filter
) -> None:
    store, records = stored
    expected = [seq for seq, one in enumerate(records, start=1) if passes(where, one.fields)]
    assert sorted(store.contents_passing(where)) == expected
    assert [seq for seq, one in enumerate(records, start=1) if where.matches(one)] == expected


@pytest.mark.parametrize("seqs", [[1], [3, 300, 7], [300, *range(1, 299)]])
def test_ids_select_their_records_and_other_than_all_but_one(
    stored: tuple[RecordStore, list[Record]], seqs: list[int]
) -> None:
    store, records = stored
    ids = tuple(records[seq - 1].id for seq in seqs)
    filters = [
        Filter(ids=(*ids, "0" * 32, "' OR 1 --")), Filter(ids=ids, other_than=ids[-1]),
        Filter(other_than=ids[0]), Filter(ids=ids, identity=NAMES[0]), Filter(ids=("0" * 32,)),
    ]  # fmt: skip
    expected = [sorted(seqs), sorted(seqs[:-1]), [seq for seq in range(1, 301) if seq != seqs[0]]]
    expected += [sorted(seq for seq in seqs if records[seq - 1].fields.identity == NAMES[0]), []]
    assert [sorted(store.contents_passing(where)) for where in filters] == expected
    for where, passing in zip(filters, expected, strict=True):
        assert [seq for seq, one in enumerate(records, start=1) if where.matches(one)] == passing
        assert store.unsearched(where, OTHER_MODELS[0]) == passing


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_only_a_value(stored: tuple[RecordStore, list[Record]], name: str) -> None:
    store, records = stored
    expected = [seq for seq, one in enumerate(records, start=1) if one.fields.identity == name]
    assert len(expected) > 5
    assert sorted(store.contents_passing(Filter(identity=name))) == expected


def test_no_condition_selects_everything(stored: tuple[RecordStore, list[Record]]) -> None:
    store, records = stored
    assert sql_condition(Filter()) == ("1", [])
    assert sorted(store.contents_passing(Filter())) == list(range(1, len(records) + 1))


def selected(tmp_path: Path, where: Filter, *fields: Fields) -> list[int]:
    """Which of the fields pass, by position."""
    tmp_path.mkdir(exist_ok=True)
    store = SqliteRecordStore(tmp_path / "gallery.sqlite")
    with store.transaction() as writer:
        for seed, f in enumerate(fields):
            writer.insert(record(seed, **{name: getattr(f, name) for name in Fields.__slots__}))
    seqs = sorted(store.contents_passing(where))
    store.close()
    return [seq - 1 for seq in seqs]


def test_the_time_interval_is_half_open_to_the_microsecond(tmp_path: Path) -> None:
    cest = timezone(timedelta(hours=2))
    where = Filter(captured_after=NOON.astimezone(cest), captured_before=(NOON + timedelta(hours=1)).astimezone(cest))
    at = [NOON - MICROSECOND, NOON, NOON + timedelta(hours=1) - MICROSECOND, NOON + timedelta(hours=1)]
    assert selected(tmp_path, where, *(Fields(captured_at=time) for time in at), Fields()) == [1, 2]


def test_the_radius_is_inclusive_and_in_metres(tmp_path: Path) -> None:
    degree_m = EARTH_RADIUS_M * math.pi / 180
    places = [(50.0, 8.0), (51.0, 8.0), (51.001, 8.0), (49.0, 8.0), (50.0, 9.0)]
    fields = [Fields(latitude=latitude, longitude=longitude) for latitude, longitude in places]
    assert selected(tmp_path, Filter(near=Near(50.0, 8.0, degree_m + 0.01)), *fields, Fields()) == [0, 1, 3, 4]


def test_a_radius_of_zero_selects_the_very_place(tmp_path: Path) -> None:
    fields = [Fields(latitude=50.0, longitude=8.0), Fields(latitude=50.0, longitude=8.00001), Fields()]
    assert selected(tmp_path, Filter(near=Near(50.0, 8.0, 0.0)), *fields) == [0]


def test_near_crosses_the_date_line(tmp_path: Path) -> None:
    fields = [Fields(latitude=0.0, longitude=-179.9), Fields(latitude=0.0, longitude=179.0)]
    assert selected(tmp_path, Filter(near=Near(0.0, 179.9, 23_000)), *fields) == [0]


def test_near_reaches_over_the_pole(tmp_path: Path) -> None:
    fields = [Fields(latitude=89.9, longitude=-90.0), Fields(latitude=89.0, longitude=90.0)]
    assert selected(tmp_path, Filter(near=Near(89.9, 90.0, 23_000)), *fields) == [0]


# One condition at a time: of conditions drawn together few records pass any.
single = st.one_of(
    st.builds(Filter, source=st.sampled_from(NAMES)),
    st.builds(Filter, near=circles),
    st.builds(Filter, attributes=st.tuples(st.tuples(st.sampled_from(ATTRIBUTE_NAMES), st.sampled_from(NAMES)))),
    st.builds(Filter, captured_after=times()),
    st.builds(Filter, captured_before=times()),
    st.builds(Filter, tags=st.tuples(st.sampled_from(TAGS))),
)


@settings(derandomize=True, max_examples=250, deadline=None)
@given(where=single)
def test_sql_and_python_select_the_same(stored: tuple[RecordStore, list[Record]], where: Filter) -> None:
    store, records = stored
    matching = [seq for seq, one in enumerate(records, start=1) if where.matches(one)]
    assert matching == [seq for seq, one in enumerate(records, start=1) if passes(where, one.fields)]
    assert sorted(store.contents_passing(where)) == matching


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@settings(derandomize=True, max_examples=8, deadline=None)
@given(names=st.lists(names, min_size=1, max_size=40, unique=True))
def test_an_attribute_of_any_name_is_found_by_it(names: list[str]) -> None:
    with TemporaryDirectory() as folder, closing(SqliteRecordStore(Path(folder) / "gallery.sqlite")) as store:
        records = [record(seed, attributes={name: name}) for seed, name in enumerate(names)]
        with store.transaction() as writer:
            for one in records:
                writer.insert(one)
        for seq, name in enumerate(names, start=1):
            where = Filter(attributes=((name, name),))
            assert sorted(store.contents_passing(where)) == [seq]
            assert [i for i, one in enumerate(records, start=1) if where.matches(one)] == [seq]
            assert sorted(store.contents_passing(Filter(attributes=((name, name + "x"),)))) == []


def test_all_attributes_must_hold(tmp_path: Path) -> None:
    fields = [
        Fields(attributes={"colour": "red", "make": "vw"}),
        Fields(attributes={"colour": "red"}),
        Fields(attributes={"make": "vw", "red": "colour"}),
        Fields(),
    ]
    assert selected(tmp_path, Filter(attributes=(("colour", "red"), ("make", "vw"))), *fields) == [0]
    assert selected(tmp_path / "b", Filter(attributes=(("colour", "red"), ("colour", "blue"))), *fields) == []
