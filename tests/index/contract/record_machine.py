"""Random transactions on a record store, each followed by every question that the protocol has, beside dictionaries."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from index.gallery.errors import DamagedRecordError, RecordNotFoundError
from index.gallery.fields import Fields
from index.gallery.filters import Filter, Near
from index.gallery.record import Record
from index.gallery.record_store import Deletion, Tallies, Writer
from index.gallery.retention import Expired
from model.box import Box
from tests.index.contract.record_stores import Place
from tests.index.gallery.memory_backend import DictStore
from tests.index.records import MODEL, OTHER_MODELS, record, values

NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
MODELS: Final = [MODEL, *OTHER_MODELS]
# Ordinary ones, and such as would break SQL that was pasted together.
NAMES: Final = ["a", "A", "ä", "' OR 1=1 --", "%", '"]', "a\\b", ""]
TIMES: Final = [NOON + timedelta(hours=hours) for hours in range(-2, 3)]
PLACES: Final = [(50.0, 8.0), (50.001, 8.0), (-89.99, 179.9), (0.0, -180.0)]

names = st.sampled_from(NAMES)
times = st.sampled_from(TIMES)
some_of = st.lists(names, max_size=3).map(tuple)
attributes = st.dictionaries(names, names, max_size=2)


@st.composite
def fields(draw: st.DrawFn) -> Fields:
    latitude, longitude = draw(st.sampled_from([(None, None), *PLACES]))
    return Fields(
        draw(st.none() | names),
        draw(st.none() | names),
        draw(st.none() | times),
        latitude,
        longitude,
        draw(some_of),
        draw(st.none() | names),
        draw(attributes),
    )


def _near(place: tuple[float, float], radius_m: float) -> Near:
    return Near(place[0], place[1], radius_m)


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Each with one or two conditions, so that something passes."""
    seeds = st.integers(0, 20)
    one: dict[str, st.SearchStrategy[Any]] = {
        "identity": names,
        "cameras": some_of,
        "tags": some_of,
        "captured_after": times,
        "captured_before": times,
        "near": st.builds(_near, st.sampled_from(PLACES), st.sampled_from([1.0, 2e5])),
        "source": names,
        "attributes": attributes.map(lambda given: tuple(given.items())),
        "ids": st.lists(seeds.map(lambda seed: record(seed).id), max_size=4).map(tuple),
        "other_than": seeds.map(lambda seed: record(seed).id),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(one)), max_size=2, unique=True))
    return Filter(**{name: draw(one[name]) for name in chosen})


class RecordStoreMachine(RuleBasedStateMachine):
    """The store of a place, and a `DictStore` that is told the same.

    Attributes:
        new_place: makes an empty one; given by whoever runs it.
    """

    new_place: Callable[[], Place]

    def __init__(self) -> None:
        super().__init__()
        self.place = self.new_place()
        self.store = self.place.open()
        self.model = DictStore()
        self.deletions: list[str] = []

    def teardown(self) -> None:
        self.store.close()
        self.place.remove()

    def both(self, write: Any) -> None:
        """One transaction on each."""
        for store in (self.store, self.model):
            with store.transaction() as writer:
                write(writer)

    def chosen(self, numbers: Sequence[int]) -> list[int]:
        """Some of the seqs that there are."""
        seqs = list(self.model.rows)
        return sorted({seqs[number % len(seqs)] for number in numbers}) if seqs else []

    def intact(self, numbers: Sequence[int]) -> list[int]:
        return [seq for seq in self.chosen(numbers) if seq not in self.model.broken]

    numbers = st.lists(st.integers(0, 99), max_size=6)

    @initialize(given=st.lists(fields(), min_size=4, max_size=8))
    def begin(self, given: list[Fields]) -> None:
        self.insert(dict(enumerate(given)), 0)

    @rule(given=st.dictionaries(st.integers(0, 20), fields(), max_size=4), model=st.integers(0, 2))
    def insert(self, given: dict[int, Fields], model: int) -> None:
        there = {one.id for one in self.model.rows.values()}
        # Several boxes of one frame.
        records = [
            replace(record(seed, frame=seed // 3, box=Box(seed % 3, 0, 9, 9), model=MODELS[model]), fields=one)
            for seed, one in given.items()
        ]
        fresh = [one for one in records if one.id not in there]
        self.both(lambda writer: [writer.insert(one) for one in fresh])

    @rule(numbers=numbers, given=fields())
    def update(self, numbers: list[int], given: Fields) -> None:
        seqs = self.intact(numbers)[:1]
        updated: list[int] = []
        records = [replace(self.model.rows[seq], fields=given) for seq in seqs]
        self.both(lambda writer: updated.extend(map(writer.update, records)))
        assert updated == seqs * 2

    @rule(numbers=numbers, given=fields(), changed=st.sets(st.sampled_from(["identity", "camera", "tags", "source"])))
    def update_fields(self, numbers: list[int], given: Fields, changed: set[str]) -> None:
        rows = {seq: self.model.rows[seq] for seq in self.intact(numbers)}
        new = {name: getattr(given, name) for name in changed}
        records = {seq: replace(one, fields=replace(one.fields, **new)) for seq, one in rows.items()}
        self.both(lambda writer: writer.update_fields(records, changed))

    @rule(numbers=numbers)
    def delete(self, numbers: list[int]) -> None:
        seqs = [*self.chosen(numbers), 10**6]
        self.both(lambda writer: writer.delete(seqs))

    @rule(numbers=numbers, days=st.integers(0, 3))
    def set_aside(self, numbers: list[int], days: int) -> None:
        seqs = self.intact(numbers)
        until = NOON + timedelta(days=days)
        deletion = Deletion(f"{len(self.deletions):032x}", NOON, until, len(seqs), undone=False)
        self.deletions.append(deletion.id)
        self.both(lambda writer: writer.set_aside(seqs, deletion))

    @precondition(lambda self: self.model.aside)
    @rule(number=st.integers(0, 99))
    def restore(self, number: int) -> None:
        pending = list(self.model.aside)
        numbers: list[int] = []
        self.both(lambda writer: numbers.append(writer.restore(pending[number % len(pending)])))
        assert numbers[0] == numbers[1]

    @rule(days=st.integers(0, 3))
    def purge(self, days: int) -> None:
        self.both(lambda writer: writer.purge(NOON + timedelta(days=days)))

    @rule(numbers=numbers, given=fields())
    def fail(self, numbers: list[int], given: Fields) -> None:
        """Nothing of it stays, and the next seq is what it would have been."""

        def write(writer: Writer) -> None:
            writer.insert(replace(record(1000), fields=given))
            writer.delete(self.chosen(numbers))
            writer.purge(NOON + timedelta(days=9))
            raise ZeroDivisionError

        for store in (self.store, self.model):
            try:
                with store.transaction() as writer:
                    write(writer)
            except ZeroDivisionError:
                continue

    @rule(number=st.integers(0, 99))
    def damage(self, number: int) -> None:
        for seq in self.intact([number]):
            self.place.damage(seq)
            self.model.broken.add(seq)

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.place.open()
        self.model.found.clear()

    @rule(where=filters(), model=st.integers(0, 2))
    def filtered(self, where: Filter, model: int) -> None:
        assert self.store.contents_passing(where) == self.model.contents_passing(where)
        assert self.store.unsearched(where, MODELS[model]) == self.model.unsearched(where, MODELS[model])

    @rule(
        before=st.none() | times, cameras=st.dictionaries(names, st.none() | times, max_size=2), after=st.integers(0, 9)
    )
    def expired(self, before: datetime | None, cameras: dict[str, datetime | None], after: int) -> None:
        expired = Expired(before, cameras)
        assert self.store.expired(expired, after, 3) == self.model.expired(expired, after, 3)
        assert self.store.count_expired(expired) == self.model.count_expired(expired)

    @rule(number=st.integers(0, 99))
    def get(self, number: int) -> None:
        for seq in self.chosen([number]):
            id_ = self.model.rows[seq].id
            assert self.store.contents_of(id_) == self.model.contents_of(id_)
            found = [_got(store, id_) for store in (self.store, self.model)]
            assert found[0] == found[1]

    @invariant()
    def what_is_counted_is_the_same(self) -> None:
        assert self.store.last_seq == self.model.last_seq
        assert self.store.count() == self.model.count()
        assert self.store.deletions() == self.model.deletions()
        assert self.store.num_damaged == self.model.num_damaged
        assert self.store.contents() == self.model.contents()
        assert self.store.doubtful_contents() == self.model.doubtful_contents()
        assert self.store.deleted_contents() == self.model.deleted_contents()
        for deletion in self.model.deletions():
            assert self.store.deleted_contents(deletion.id) == self.model.deleted_contents(deletion.id)
        for limit in (2, 9):
            assert _ordered(self.store.tallies(limit)) == _ordered(self.model.tallies(limit))
        for model in MODELS:
            assert self.store.num_of_model(model) == self.model.num_of_model(model)

    @invariant()
    def what_is_read_is_the_same(self) -> None:
        seqs = [*self.model.rows, 10**6]
        records = list(self.model.rows.values())
        ids = [*(one.id for one in records), "0" * 32]
        some = [*(one.content for one in records[::2]), "0" * 64]
        for read in (
            lambda store: {seq: values(one) for seq, one in store.records_at(seqs).items()},
            lambda store: {one.id: values(one) for one in store.records_of(ids)},
            lambda store: sorted(store.seqs_of(ids)),
            lambda store: store.named(some),
            lambda store: [(seq, values(one)) for seq, one in store.records_after(2, MODEL)],
            lambda store: list(store.rows_after(1, MODELS[1])),
        ):
            assert read(self.store) == read(self.model)


def _ordered(tallies: Tallies) -> Tallies:
    return tallies._replace(models=sorted(tallies.models))


def _got(store: Any, id_: str) -> object:
    try:
        found: Record | None = store.get(id_)
    except (DamagedRecordError, RecordNotFoundError) as error:
        return type(error)
    return None if found is None else values(found)
