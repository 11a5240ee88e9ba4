import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.embedded.search import inverted_index, record_columns
from index.embedded.search.inverted_index import NUM_ROWS, InvertedIndex
from index.embedded.search.record_columns import NO_IDENTITY, RecordColumns
from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near, distance_m
from index.gallery.record import Record
from tests.index.records import record

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# One letter in two forms of Unicode, characters beyond the first 65,536, no character, and texts that look like codes.
TEXTS = ["", "é", "e\u0301", "🚗", "🚙", "north", "North", "north ", "-1", "0", "\u212b", "Å"]
PLACES = [
    (90.0, 0.0), (90.0, 170.0), (-90.0, -180.0), (0.0, 180.0), (0.0, -180.0), (48.1, 11.5), (48.1, 11.500001),
    (-48.1, -168.5), (89.9999999, 12.0), (0.0, 0.0),
]  # fmt: skip
TIMES = [NOON, NOON - MICROSECOND, NOON + MICROSECOND, datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.sampled_from(TEXTS) | st.text(characters, max_size=3)
places = st.sampled_from(PLACES) | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.sampled_from(TIMES) | st.builds(lambda zone: NOON.astimezone(zone), zones)
vehicle_fields = st.builds(
    lambda place, **others: Fields(latitude=place and place[0], longitude=place and place[1], **others),
    place=st.none() | places,
    identity=st.none() | texts,
    camera=st.none() | texts,
    captured_at=st.none() | times,
    tags=st.lists(texts, max_size=3).map(tuple),
    source=st.none() | texts,
    attributes=st.dictionaries(texts, texts, max_size=3),
)


@st.composite
def filters(draw: st.DrawFn, fields: Sequence[Fields]) -> Filter:
    """Up to three conditions, mostly on values that one of the vehicles has: so that some pass."""
    vehicle = draw(st.sampled_from(fields))
    circle = draw(st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 2e7)))
    if vehicle.latitude is not None and vehicle.longitude is not None and draw(st.booleans()):
        # The radius ends at this very vehicle.
        radius_m = distance_m(vehicle.latitude, vehicle.longitude, circle.latitude, circle.longitude)
        circle = replace(circle, radius_m=radius_m)
    conditions: dict[str, Any] = {
        "identity": draw(st.just(vehicle.identity) | texts),
        "cameras": tuple(draw(st.lists(texts, max_size=3))) + ((vehicle.camera,) if vehicle.camera is not None else ()),
        "tags": draw(st.just(vehicle.tags) | st.lists(texts, max_size=2).map(tuple)),
        "captured_after": draw(st.none() | times),
        "captured_before": draw(st.none() | times),
        "near": circle,
        "source": draw(st.just(vehicle.source) | texts),
        "attributes": draw(
            st.just(tuple(vehicle.attributes.items())) | st.lists(st.tuples(texts, texts), max_size=2).map(tuple)
        ),
    }
    names = draw(st.lists(st.sampled_from(sorted(conditions)), max_size=3, unique=True))
    return Filter(**{name: conditions[name] for name in names})


def records_of(fields: Sequence[Fields], first_seed: int = 0) -> list[Record]:
    return [replace(record(seed), fields=vehicle) for seed, vehicle in enumerate(fields, start=first_seed)]


def columns_of(*fields: Fields) -> RecordColumns:
    columns = RecordColumns()
    columns.put(0, fields)
    return columns


def selected(where: Filter, *fields: Fields) -> list[int]:
    return np.flatnonzero(columns_of(*fields).passing(where)).tolist()


def matching(where: Filter, records: Sequence[Record]) -> list[bool]:
    return [where.matches(one) for one in records]


@pytest.fixture
def few_new_postings(monkeypatch: pytest.MonkeyPatch) -> None:
    """New postings are sorted in soon: a few vehicles go through all states."""
    monkeypatch.setattr(inverted_index, "_MIN_NEW", 3)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(data=st.data(), fields=st.lists(vehicle_fields, min_size=1, max_size=8))
def test_a_filter_selects_what_its_predicate_selects(data: st.DataObject, fields: list[Fields]) -> None:
    where = data.draw(filters(fields))
    passing = columns_of(*fields).passing(where)
    assert passing.dtype == np.bool_
    assert passing.tolist() == matching(where, records_of(fields))


@pytest.mark.usefixtures("few_new_postings")
def test_rows_put_changed_and_copied_at_random_are_found_by_their_last_fields() -> None:
    rng = np.random.default_rng(9)

    def some_fields() -> Fields:
        latitude, longitude = PLACES[rng.integers(len(PLACES))]
        return Fields(
            identity=[None, *TEXTS][rng.integers(4)],
            camera=[None, *TEXTS][rng.integers(4)],
            captured_at=[None, *TIMES][rng.integers(6)],
            latitude=latitude,
            longitude=longitude,
            tags=tuple(rng.choice(TEXTS[:4], rng.integers(0, 4)).tolist()),
            source=[None, *TEXTS][rng.integers(4)],
            attributes={str(name): TEXTS[rng.integers(3)] for name in rng.choice(TEXTS[:4], rng.integers(0, 4))},
        )

    conditions = [
        Filter(), Filter(identity=""), Filter(cameras=("é", "")), Filter(tags=("é",)), Filter(tags=("e\u0301", "")),
        Filter(captured_after=NOON), Filter(captured_before=NOON), Filter(near=Near(48.1, 11.5, 1.0)),
        Filter(source="e\u0301"), Filter(attributes=(("", "é"),)), Filter(attributes=(("é", ""), ("🚗", "e\u0301"))),
    ]  # fmt: skip
    columns, records = RecordColumns(), list[Record]()
    num_passing = 0
    for _ in range(150):
        choice = rng.random()
        if choice < 0.4:
            # Sometimes in the place of the last few: those before them were put by an `add` that failed later on.
            start = max(0, len(records) - int(rng.choice([0, 0, 0, 2, 5])))
            new = records_of([some_fields() for _ in range(int(rng.integers(0, 12)))], start)
            columns.put(start, [one.fields for one in new])
            records = records[:start] + new
        elif choice < 0.9 and records:
            changed = rng.permutation(len(records))[: int(rng.choice([1, 1, 2, 30]))]
            for row in changed.tolist():
                records[row] = replace(records[row], fields=some_fields())
            columns.set(changed, [records[row].fields for row in changed.tolist()])
        elif records:
            rows = np.flatnonzero(rng.random(len(records)) < 0.7)
            copied = RecordColumns()
            copied.put_rows_of(columns, rows[: len(rows) // 2])
            copied.put_rows_of(columns, rows[len(rows) // 2 :])
            columns, records = copied, [records[row] for row in rows.tolist()]
        assert columns.num_rows == len(records)
        for where in conditions:
            expected = matching(where, records)
            assert columns.passing(where).tolist() == expected
            num_passing += sum(expected)
        codes = columns.identity[: len(records)]
        identities = [one.fields.identity for one in records]
        assert (codes[:, None] == codes).tolist() == [[one == other for other in identities] for one in identities]
    assert len(records) > 40
    assert num_passing > 1000


def test_no_rows() -> None:
    columns = columns_of()
    assert columns.num_rows == 0
    for where in (Filter(), Filter(identity="a", tags=("b",), near=Near(0, 0, 1))):
        assert columns.passing(where).tolist() == []
    copied = columns_of(Fields())
    copied.put_rows_of(columns, np.empty(0, np.int64))
    assert copied.num_rows == 1


def test_an_empty_text_is_a_text_and_none_is_not() -> None:
    fields = [Fields(identity="", camera="", source="", attributes={"": ""}, tags=("",)), Fields()]
    for where in (
        Filter(identity=""), Filter(cameras=("",)), Filter(source=""), Filter(tags=("",)),
        Filter(attributes=(("", ""),)),
    ):  # fmt: skip
        assert selected(where, *fields) == [0]


@pytest.mark.parametrize("text", TEXTS)
def test_each_text_is_only_itself(text: str) -> None:
    fields = [Fields(identity=one, camera=one, source=one, tags=(one,), attributes={one: one}) for one in TEXTS]
    expected = [TEXTS.index(text)]
    # A copy, not the very object: what comes with a query was never in the gallery.
    text = "".join(list(text))
    assert selected(Filter(identity=text), *fields) == expected
    assert selected(Filter(cameras=(text, "nowhere")), *fields) == expected
    assert selected(Filter(source=text), *fields) == expected
    assert selected(Filter(tags=(text,)), *fields) == expected
    assert selected(Filter(attributes=((text, text),)), *fields) == expected


def test_a_name_of_a_field_is_not_the_name_of_another() -> None:
    fields = [
        Fields(identity="a"), Fields(camera="a"), Fields(source="a"), Fields(tags=("a",)),
        Fields(attributes={"a": "b"}), Fields(attributes={"b": "a"}),
    ]  # fmt: skip
    conditions = [
        Filter(identity="a"), Filter(cameras=("a",)), Filter(source="a"), Filter(tags=("a",)),
        Filter(attributes=(("a", "b"),)), Filter(attributes=(("b", "a"),)),
    ]  # fmt: skip
    assert [selected(where, *fields) for where in conditions] == [[0], [1], [2], [3], [4], [5]]


def test_one_attribute_cannot_have_two_values() -> None:
    fields = [Fields(attributes={"colour": "red", "make": "vw"}), Fields(attributes={"colour": "blue"})]
    assert selected(Filter(attributes=(("colour", "red"), ("make", "vw"))), *fields) == [0]
    assert selected(Filter(attributes=(("colour", "red"), ("colour", "blue"))), *fields) == []


def test_hundreds_of_cameras_at_once() -> None:
    fields = [Fields(camera=f"camera {number}") for number in range(1000)]
    where = Filter(cameras=tuple(f"camera {number}" for number in range(0, 2000, 2)))
    assert selected(where, *fields, Fields()) == list(range(0, 1000, 2))


def test_the_time_interval_is_half_open_to_the_microsecond_from_year_1_to_9999() -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    fields = [Fields(captured_at=time) for time in (first, NOON - MICROSECOND, NOON, NOON + MICROSECOND, last)]
    fields.append(Fields())
    cest = NOON.astimezone(timezone(timedelta(hours=2)))
    assert selected(Filter(captured_after=cest), *fields) == [2, 3, 4]
    assert selected(Filter(captured_before=cest), *fields) == [0, 1]
    assert selected(Filter(captured_after=cest, captured_before=cest + MICROSECOND), *fields) == [2]
    assert selected(Filter(captured_after=first), *fields) == [0, 1, 2, 3, 4]
    assert selected(Filter(captured_before=last), *fields) == [0, 1, 2, 3]


def test_a_time_without_a_zone_is_an_error_as_it_is_of_the_predicate() -> None:
    with pytest.raises(TypeError):
        selected(Filter(captured_after=datetime(2026, 5, 1)), Fields(captured_at=NOON))


def test_degrees_beyond_the_earth_are_nowhere() -> None:
    fields = [Fields(latitude=95.0, longitude=8.0), Fields(latitude=50.0, longitude=181.0)]
    fields.append(Fields(latitude=50.0, longitude=8.0))
    assert selected(Filter(near=Near(50.0, 8.0, 1e8)), *fields) == [2]


def test_a_circle_around_no_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="a circle needs a place on Earth"):
        selected(Filter(near=Near(95.0, 8.0, 1.0)), Fields())


def test_identities_have_codes_and_none_has_its_own() -> None:
    codes = columns_of(*(Fields(identity=one) for one in ("a", None, "b", "a", "", None))).identity[:6]
    assert codes[0] == codes[3]
    assert codes[1] == codes[5] == NO_IDENTITY == -1
    assert len(set(codes.tolist())) == 4


def test_a_full_block() -> None:
    fields = [Fields(identity=str(row % 1000), tags=(str(row),)) for row in range(NUM_ROWS)]
    columns = RecordColumns()
    columns.put(0, fields[:65_530])
    columns.put(65_530, fields[65_530:])
    assert columns.num_rows == NUM_ROWS == 65_536
    assert np.flatnonzero(columns.passing(Filter(identity="7"))).tolist() == list(range(7, NUM_ROWS, 1000))
    for row in (0, 65_529, 65_530, 65_535):
        assert np.flatnonzero(columns.passing(Filter(tags=(str(row),)))).tolist() == [row]
    assert columns.identity[65_537 % NUM_ROWS] == columns.identity[1001] != columns.identity[2]
    copied = RecordColumns()
    copied.put_rows_of(columns, np.arange(1, NUM_ROWS, 2))
    assert np.flatnonzero(copied.passing(Filter(tags=("65535",)))).tolist() == [32_767]
    assert not copied.passing(Filter(tags=("65534",))).any()
    assert columns.nbytes == NUM_ROWS * (48 + 10)
    # The columns that were copied from are still whole.
    assert np.flatnonzero(columns.passing(Filter(tags=("65534",)))).tolist() == [65_534]


def test_more_rows_than_two_bytes_can_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 65536 rows, got a capacity of 65537"):
        RecordColumns(NUM_ROWS + 1)


@pytest.mark.usefixtures("few_new_postings")
def test_what_cannot_be_put_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = columns_of(Fields(tags=("a",)), Fields(identity="b"))
    new = [Fields(identity="b", tags=("a",))] * 5

    def full(*args: Any) -> Any:
        raise MemoryError

    # At the first and at the last of what it needs.
    for owner, name in ((InvertedIndex, "with_rows"), (record_columns, "_places")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full)
            with pytest.raises(MemoryError):
                columns.put(2, new)
    assert columns.passing(Filter(tags=("a",))).tolist() == [True, False]
    columns.put(2, [Fields(identity="b"), Fields(tags=("a",)), Fields(tags=("c",))])
    assert columns.passing(Filter(tags=("a",))).tolist() == [True, False, False, True, False]
    assert columns.passing(Filter(identity="b")).tolist() == [False, True, True, False, False]


@pytest.mark.usefixtures("few_new_postings")
@pytest.mark.parametrize("num_new", [1, 2, 9])
def test_rows_are_put_again_where_an_addition_failed(num_new: int) -> None:
    """Their block was written, the next one could not be: nobody has seen them."""
    columns = columns_of(Fields(tags=("a",)), Fields(tags=("b",)))
    columns.set(np.array([1]), [Fields(tags=("a", "b"))])
    columns.put(2, [Fields(identity="x", tags=("a",), attributes={"b": "c"}, latitude=1.0, longitude=2.0)] * 5)
    columns.put(2, [Fields(tags=("b",))] * num_new)
    assert columns.num_rows == 2 + num_new
    assert columns.passing(Filter(tags=("a",))).tolist() == [True, True] + [False] * num_new
    assert columns.passing(Filter(tags=("b",))).tolist() == [False, True] + [True] * num_new
    for where in (Filter(identity="x"), Filter(attributes=(("b", "c"),)), Filter(near=Near(1.0, 2.0, 9.0))):
        assert not columns.passing(where).any()


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns after almost every step."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def read_while(write: Callable[[int], None], read: Callable[[], None], num_steps: int) -> None:
    """Reads again and again until a thread has written all steps."""
    done = threading.Event()

    def write_all() -> None:
        try:
            for step in range(num_steps):
                write(step)
        finally:
            done.set()

    writer = threading.Thread(target=write_all)
    writer.start()
    try:
        while not done.is_set():
            read()
    finally:
        writer.join()


@pytest.mark.usefixtures("few_new_postings", "busy_threads")
def test_reading_while_rows_are_put_sees_whole_rows() -> None:
    columns = RecordColumns()
    fields = Fields(identity="a", tags=("b",), attributes={"c": "d"}, latitude=1.0, longitude=2.0)
    where = Filter(identity="a", tags=("b",), attributes=(("c", "d"),), near=Near(1.0, 2.0, 1.0))
    num_rows = 0

    def read() -> None:
        nonlocal num_rows
        passing = columns.passing(where)
        assert passing.all()
        assert (columns.identity[: len(passing)] != NO_IDENTITY).all()
        assert len(passing) >= num_rows
        num_rows = len(passing)

    read_while(lambda step: columns.put(3 * step, [fields] * 3), read, 10_000)
    assert columns.passing(where).tolist() == [True] * 30_000


TURNS: list[tuple[Filter, Fields, Fields, bool]] = [
    (Filter(cameras=("a",)), Fields(camera="a"), Fields(camera="b"), False),
    (Filter(cameras=("a", "b")), Fields(camera="a"), Fields(camera="b"), True),
    (Filter(cameras=("a", "b")), Fields(camera="a"), Fields(), False),
    (
        Filter(captured_after=NOON, captured_before=NOON + MICROSECOND),
        Fields(captured_at=NOON - MICROSECOND), Fields(captured_at=NOON + MICROSECOND), False,
    ),
    (Filter(tags=("a", "b")), Fields(tags=("a",)), Fields(tags=("b",)), False),
    (Filter(tags=("a",)), Fields(tags=("a", "b")), Fields(tags=("a", "c")), True),
    (Filter(attributes=(("a", "1"), ("b", "1"))), Fields(attributes={"a": "1"}), Fields(attributes={"b": "1"}), False),
    # Two places of one circle, and the other corners of their rectangle are outside; and the other way around.
    (
        Filter(near=Near(0.0, 0.0, 150_000)),
        Fields(latitude=1.0, longitude=0.0), Fields(latitude=0.0, longitude=1.0), True,
    ),
    (
        Filter(near=Near(1.0, 1.0, 50_000)),
        Fields(latitude=1.0, longitude=0.0), Fields(latitude=0.0, longitude=1.0), False,
    ),
]  # fmt: skip


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.parametrize(("where", "first", "second", "is_constant"), TURNS)
def test_a_field_that_changes_is_read_as_it_was_or_as_it_becomes(
    where: Filter, first: Fields, second: Fields, is_constant: bool
) -> None:
    columns = columns_of(*[first] * 20)
    turns = [first, second]
    both_pass = [where.matches(one) for one in records_of(turns)]
    # If neither passes or both do, nothing that a reader sees may differ.
    assert is_constant == all(both_pass)

    def read() -> None:
        passing = columns.passing(where)
        if both_pass[0] == both_pass[1]:
            assert (passing == both_pass[0]).all()

    read_while(lambda step: columns.set(np.array([step % 20]), [turns[step // 20 % 2]]), read, 20_000)
