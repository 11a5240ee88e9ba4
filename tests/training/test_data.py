from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import Protocol, ProtocolError
from model.box import Box
from training.data import TrainingData, training_data
from training.recipe import Validation
from training.sampler import PKSampler


def manifest(*entries: Entry, protocol: Protocol | None = None) -> Manifest:
    return Manifest(Path("data"), entries, protocol or Protocol(dataset="vehicles"))


def images(
    num_identities: int, num_images: int = 2, role: Role | None = None, split: str = "", first: int = 0
) -> list[Entry]:
    """The images of vehicles v000, v001, ..., last vehicle first."""
    return [
        Entry(f"{split}/v{identity:03}/{number}.jpg", f"v{identity:03}", role=role, split=split)
        for identity in reversed(range(first, first + num_identities))
        for number in range(num_images)
    ]


def validation_split() -> list[Entry]:
    queries = [entry for entry in images(2, 4, "query", "val", first=900) if not entry.path.endswith("/0.jpg")]
    return [*images(2, 1, "gallery", "val", first=900), *queries]


def identities(entries: tuple[Entry, ...]) -> set[str]:
    return {entry.identity for entry in entries}


def judged(data: TrainingData) -> set[str]:
    assert data.validation is not None
    return identities(data.validation.queries + data.validation.gallery)


def test_whoever_has_the_role_train_and_an_identity_trains() -> None:
    trained = images(3, 2, "train")
    others = [
        Entry("q.jpg", "v000", role="query"),
        Entry("g.jpg", "v000", role="gallery"),
        Entry("none.jpg", "v001"),
        Entry("distractor.jpg", role="distractor"),
        Entry("junk.jpg", "v002", role="junk"),
        Entry("unknown.jpg", role="train"),
    ]
    data = training_data(manifest(*others[:3], *trained, *others[3:]), "none")
    assert data.entries == tuple(trained)
    assert data.validation is None


def test_without_roles_all_with_an_identity_train() -> None:
    entries = images(3)
    assert training_data(manifest(*entries, Entry("unknown.jpg")), "none").entries == tuple(entries)


def test_a_label_is_the_place_among_the_sorted_identities() -> None:
    entries = [Entry(f"{i}.jpg", name) for i, name in enumerate(("10", "b", "9", "a", "10", "é"))]
    data = training_data(manifest(*entries), "none")
    assert data.labels == (0, 3, 1, 2, 0, 4)
    assert data.num_labels == 5


def test_labels_leave_no_gap_where_identities_are_held_out() -> None:
    data = training_data(manifest(*images(30)), "held_out")
    assert set(data.labels) == set(range(27))
    assert data.num_labels == 27
    by_label = dict(zip(data.labels, (entry.identity for entry in data.entries), strict=True))
    assert [by_label[label] for label in range(27)] == sorted(identities(data.entries))


def test_the_split_val_judges() -> None:
    data = training_data(manifest(*images(4, 2, "train", "train"), *validation_split()), "val")
    assert data.entries == tuple(images(4, 2, "train", "train"))
    assert data.validation is not None
    assert (data.validation.split, judged(data)) == ("val", {"v900", "v901"})
    assert (len(data.validation.queries), len(data.validation.gallery)) == (6, 2)


@pytest.mark.parametrize(("num_identities", "num_held_out"), [(4, 2), (5, 2), (24, 2), (26, 3), (100, 10), (151, 15)])
def test_a_tenth_of_the_identities_is_held_out_but_two_at_least(num_identities: int, num_held_out: int) -> None:
    entries = images(num_identities, 3)
    data = training_data(manifest(*entries), "held_out")
    assert len(judged(data)) == num_held_out
    assert not judged(data) & identities(data.entries)
    assert judged(data) | identities(data.entries) == identities(tuple(entries))
    # Whole vehicles, in the order they came; and of each that is held out the first image is its gallery.
    assert data.entries == tuple(entry for entry in entries if entry.identity not in judged(data))
    assert data.validation is not None
    assert {entry.path for entry in data.validation.gallery} == {f"/{name}/0.jpg" for name in judged(data)}
    assert len(data.validation.queries) == 2 * num_held_out


def test_who_is_held_out_depends_on_who_is_there_alone() -> None:
    entries = images(50, 3)
    held_out = judged(training_data(manifest(*entries), "held_out"))
    assert judged(training_data(manifest(*reversed(entries)), "held_out")) == held_out
    assert judged(training_data(manifest(*images(50, 2)), "held_out")) == held_out
    # Not simply the first or the last.
    assert held_out not in ({f"v{i:03}" for i in range(5)}, {f"v{i:03}" for i in range(45, 50)})


def test_a_runs_seed_orders_what_is_left_and_never_brings_back_who_is_held_out() -> None:
    data = training_data(manifest(*images(40, 4)), "held_out")
    for seed in range(3):
        positions = PKSampler(data.labels, 8, 4, seed).epoch(0)
        assert not {data.entries[position].identity for position in positions.flat} & judged(data)


def test_the_training_images_can_judge_themselves() -> None:
    entries = images(3, 3)
    data = training_data(manifest(*entries), "train")
    assert data.entries == tuple(entries)
    assert data.validation is not None
    assert sorted(entry.path for entry in data.validation.gallery) == [f"/v00{i}/0.jpg" for i in range(3)]
    assert sorted(entry.path for entry in data.validation.queries) == [
        f"/v00{i}/{number}.jpg" for i in range(3) for number in (1, 2)
    ]


def test_the_training_images_judge_themselves_without_the_others() -> None:
    data = training_data(manifest(*images(3, 2, "train", "train"), *validation_split()), "train")
    assert judged(data) == {"v000", "v001", "v002"}


@pytest.mark.parametrize(
    ("entries", "same_as"),
    [
        (images(120, 2, "train") + validation_split(), "val"),
        (images(3, 2, "train") + validation_split(), "val"),
        (images(100), "held_out"),
        (images(99), "none"),
        # A split val without queries is none.
        (images(100, 2, "train") + images(2, 2, "gallery", "val", first=900), "held_out"),
    ],
)
def test_auto_is_val_else_held_out_if_there_are_enough_else_none(entries: list[Entry], same_as: Validation) -> None:
    found, expected = training_data(manifest(*entries), "auto"), training_data(manifest(*entries), same_as)
    assert (found.entries, found.labels, found.validation) == (expected.entries, expected.labels, expected.validation)
    assert (found.validation is None) == (same_as == "none")


@pytest.mark.parametrize(
    ("entries", "roles"),
    [
        (images(2, 2, "query") + images(2, 1, "gallery"), "query 4, gallery 2"),
        ([Entry("1.jpg"), Entry("2.jpg")], "none 2"),
        ([Entry("1.jpg", role="train"), Entry("2.jpg", "van")], "train 1, none 1"),
        ([], ""),
    ],
)
def test_nothing_to_train_on_is_an_error_that_counts_the_roles(entries: list[Entry], roles: str) -> None:
    with pytest.raises(ManifestError) as raised:
        training_data(manifest(*entries), "auto")
    assert str(raised.value) == (
        f"no image to train on: none has the role train and an identity; the roles are {roles}"
    )


def test_a_split_val_that_is_not_there_cannot_judge() -> None:
    with pytest.raises(ManifestError, match="no queries in a split val: choose another validation, or auto"):
        training_data(manifest(*images(10)), "val")


@pytest.mark.parametrize("num_identities", [1, 2, 3])
def test_too_few_identities_to_hold_some_out_are_an_error(num_identities: int) -> None:
    with pytest.raises(ManifestError, match=f"^{num_identities} identities are too few to hold some out: validate on"):
        training_data(manifest(*images(num_identities)), "held_out")


def test_a_validation_that_cannot_be_answered_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="no line of the manifest has the role query, its roles are gallery 3"):
        training_data(manifest(*images(3, 1)), "train")


def test_training_images_are_judged_by_no_rule_of_the_data_sets_protocol() -> None:
    strict = Protocol("vehicles", "same_camera", 2)
    task = training_data(manifest(*images(3), protocol=strict), "train").validation
    assert task is not None
    assert (task.camera_rule, task.dataset) == ("none", "vehicles")


def test_where_no_image_has_a_role_the_other_splits_are_not_trained_on() -> None:
    entries = [
        Entry(f"{split}/{number}.png", f"car {number}", split=split)
        for split in ("train", "test")
        for number in range(4)
    ]
    data = training_data(manifest(*entries), "none")
    assert {entry.split for entry in data.entries} == {"train"}
    assert len(data.entries) == 4


def changed(change: Callable[[Entry], Entry], chosen: Callable[[Entry], bool], entries: list[Entry]) -> list[Entry]:
    """The first that is chosen is another."""
    position = next(position for position, entry in enumerate(entries) if chosen(entry))
    return [*entries[:position], change(entries[position]), *entries[position + 1 :]]


def fingerprint(entries: list[Entry], validation: Validation = "val") -> str:
    return training_data(manifest(*entries), validation).fingerprint


ALL = [*images(4, 2, "train", "train"), *validation_split(), Entry("junk.jpg", role="junk")]


@pytest.mark.parametrize("role", ["train", "query", "gallery"])
@pytest.mark.parametrize(
    "change",
    [
        lambda entry: replace(entry, path="other.jpg"),
        lambda entry: replace(entry, identity="v001" if entry.role == "train" else "v900"),
        lambda entry: replace(entry, camera="north"),
        lambda entry: replace(entry, box=Box(0, 0, 9, 9)),
    ],
)
def test_the_fingerprint_knows_every_line_that_is_used(change: Callable[[Entry], Entry], role: Role) -> None:
    assert fingerprint(changed(change, lambda entry: entry.role == role, ALL)) != fingerprint(ALL)


def test_the_fingerprint_knows_the_order_and_who_judges() -> None:
    found = {
        fingerprint(ALL),
        fingerprint([*reversed(ALL)]),
        fingerprint(ALL[1:]),
        fingerprint(ALL, "none"),
        fingerprint(ALL, "train"),
        fingerprint(ALL, "held_out"),
    }
    assert len(found) == 6


def test_the_fingerprint_does_not_know_what_is_not_used() -> None:
    unused = [replace(ALL[-1], path="other.jpg"), Entry("q.jpg", "v000", role="query", split="test")]
    assert fingerprint([*ALL[:-1], *unused]) == fingerprint(ALL)
    later = [replace(entry, captured_at="2026-05-01", further={"sequence": "7"}) for entry in ALL]
    assert fingerprint(later) == fingerprint(ALL)
    here = training_data(replace(manifest(*ALL), folder=Path("elsewhere")), "val")
    assert here.fingerprint == fingerprint(ALL)


def test_repeated_lines_are_learned_once_and_counted() -> None:
    entries = images(4, 2, "train", "train")
    again = [replace(entry, path=f"./{entry.path}") for entry in entries[:3]]
    once, data = training_data(manifest(*entries), "none"), training_data(manifest(*entries, *again), "none")
    assert (data.entries, data.labels, data.fingerprint) == (once.entries, once.labels, once.fingerprint)
    (warning,) = data.manifest.warnings
    assert warning.startswith("lines that repeat another")
    assert warning.endswith(": 3")


@pytest.mark.parametrize("role", ["train", None])
def test_a_training_image_of_two_identities_is_refused(role: Role | None) -> None:
    entries = images(4, 2, role, "train")
    with pytest.raises(ManifestError, match="are one vehicle, the same image, but its identity is"):
        training_data(manifest(*entries, replace(entries[0], identity="v000")), "none")


def test_without_some_images_the_others_keep_their_labels() -> None:
    data = training_data(manifest(*images(3, 2)), "train")
    fewer = data.without({0, 1, 3})
    assert fewer.entries == (data.entries[2], data.entries[4], data.entries[5])
    assert fewer.labels == (1, 0, 0)
    # A vehicle that is gone keeps its number, and a resumed run its classifiers and its data's fingerprint.
    assert (fewer.num_labels, fewer.fingerprint, fewer.validation) == (3, data.fingerprint, data.validation)
    assert data.without(set()) == data
