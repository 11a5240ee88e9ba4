from index.gallery.answers import Enrolled
from index.gallery.enrolment import sort_batch
from tests.index.records import LEFT, MODEL, OTHER_MODELS, RIGHT, enrolment, record


def test_a_batch_is_told_apart() -> None:
    stored = [record(1, camera="north"), record(2, model=OTHER_MODELS[1], identity="a")]
    batch = [enrolment(1, camera="south"), enrolment(2, identity="b"), enrolment(3), enrolment(3, identity="c")]
    found = sort_batch(batch, {one.id: one for one in stored}, MODEL)
    assert found.results == [
        Enrolled(record(1).id, duplicate=True, differing=("camera",)),
        Enrolled(record(2).id, duplicate=False, differing=("identity",)),
        Enrolled(record(3).id, duplicate=False),
        Enrolled(record(3).id, duplicate=True, differing=("identity",)),
    ]
    assert [(one.record.id, one.record.fields.identity) for one in found.fresh] == [
        (record(2).id, "a"),
        (record(3).id, None),
    ]
    assert [one.record.model for one in found.fresh] == [MODEL, MODEL]
    assert found.images_of_duplicates.keys() == {record(1).content}


def test_an_image_that_a_new_record_shows_is_not_that_of_a_duplicate() -> None:
    known, new = enrolment(1, frame=1, box=LEFT), enrolment(2, frame=1, box=RIGHT)
    stored = {known.record.id: known.record}
    for batch in ([known, new], [new, known]):
        assert sort_batch(batch, stored, MODEL).images_of_duplicates == {}
    assert sort_batch([known], stored, MODEL).images_of_duplicates == {known.record.content: known.read_image}


def test_what_is_stored_stays_as_it_is() -> None:
    stored = {record(1).id: record(1)}
    sort_batch([enrolment(2)], stored, MODEL)
    assert stored.keys() == {record(1).id}


def test_nothing_is_nothing() -> None:
    found = sort_batch([], {}, MODEL)
    assert (found.results, found.fresh, found.images_of_duplicates) == ([], [], {})
