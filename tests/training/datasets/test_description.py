from dataclasses import replace
from pathlib import Path

import pytest

from index.datasets.manifest import Entry, Manifest, Role
from index.datasets.protocol import Protocol
from training.datasets.dataset import Published
from training.datasets.description import count, trained_on, unmatchable


def manifest(*entries: Entry, protocol: Protocol | None = None) -> Manifest:
    return Manifest(Path("/data"), entries, Protocol("Set") if protocol is None else protocol)


def images(identity: str, role: Role | None, num: int, split: str = "") -> list[Entry]:
    return [Entry(f"{split}{role}{identity}{i}.jpg", identity, role=role, split=split) for i in range(num)]


def counted(data: Manifest, published: dict[tuple[str, str], Published] | None = None) -> dict[tuple[str, str], int]:
    return {(row["split"], row["role"]): row["num_images"] for row in count(data, published or {})}


def test_lines_without_a_role_are_counted_beside_those_that_have_one() -> None:
    data = manifest(*images("a", "gallery", 1), *images("a", "query", 2), *images("a", None, 4), *images("", None, 5))
    assert counted(data) == {("", "gallery"): 1, ("", "query"): 2, ("", "none"): 9}
    (row,) = [row for row in count(data, {}) if row["role"] == "none"]
    assert row["num_identities"] == 1


def test_all_of_a_split_is_counted_where_that_was_published() -> None:
    published = {("test", ""): Published(7, 2)}
    with_roles = manifest(*images("a", "query", 3, "test"), *images("b", None, 4, "test"))
    assert counted(with_roles, published) == {("test", ""): 7, ("test", "query"): 3, ("test", "none"): 4}
    # Without any role, the lines without a role are the split: one row.
    assert counted(manifest(*images("b", None, 4, "test")), published) == {("test", ""): 4}
    both = manifest(*images("b", None, 4, "test"), *images("c", None, 2, "val"))
    assert counted(both, published) == {("test", ""): 4, ("val", "none"): 2}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            [*images("a", "gallery", 1), *images("a", "query", 1), *images("b", "query", 1)],
            ["1 of 2 queries have no true match", "queryb0.jpg of b"],
        ),
        (
            [*images("a", "gallery", 1), *images("a", "query", 1), *images("b", "gallery", 1)],
            ["identities with a single image, which is in the gallery and nobody's match: 1 (b)"],
        ),
        (
            [*images("a", "train", 2, "train"), *images("b", "train", 1, "train"), *images("b", "query", 1, "test")],
            ["split test: 1 of 1 queries", "split train: identities with a single image for training: 1 (b)"],
        ),
        (
            [entry for i in range(7) for entry in images(f"v{i}", None, 1)] + images("w", None, 2),
            ["identities with a single image without a role: 7 (v0, v1, v2, v3, v4 and 2 more)"],
        ),
        ([*images("a", None, 2), *images("", None, 1), *images("x", "junk", 1), *images("", "distractor", 1)], []),
    ],
    ids=["query", "gallery", "training", "no role", "none"],
)
def test_what_cannot_be_matched_is_named(entries: list[Entry], expected: list[str]) -> None:
    warnings = "\n".join(unmatchable(manifest(*entries)))
    for text in expected:
        assert text in warnings
    assert bool(warnings) == bool(expected)


def test_a_query_that_only_its_own_camera_saw_is_named_where_the_rule_removes_that() -> None:
    entries = [replace(entry, camera="c1") for entry in (*images("a", "gallery", 1), *images("a", "query", 1))]
    assert unmatchable(manifest(*entries)) == []
    (warning,) = unmatchable(manifest(*entries, protocol=Protocol("Set", "same_camera")))
    assert warning.endswith("querya0.jpg of a")


def test_a_training_without_roles_learns_from_the_split_train_or_none() -> None:
    home = [*images("a", None, 3), *images("b", None, 2), *images("", None, 2)]
    assert trained_on(manifest(*home)) == "5 images of 2 identities; no validation"
    splits = [*images("a", None, 3, "train"), *images("b", None, 2, "val")]
    assert trained_on(manifest(*splits)) == "3 images of 1 identities; no validation"


def test_a_training_has_no_use_for_lines_without_a_role_where_others_have_one() -> None:
    data = [*images("a", "train", 3), *images("b", "train", 1), *images("c", None, 2), *images("", None, 1)]
    assert trained_on(manifest(*data)) == (
        "4 images of 2 identities; no validation; 3 lines without a role are for nothing, because others have one"
    )


def test_what_a_training_validates_on() -> None:
    train = [entry for i in range(3) for entry in images(f"v{i}", "train", 2, "train")]
    val = [*images("x", "query", 3, "val"), *images("x", "gallery", 1, "val")]
    assert trained_on(manifest(*train, *val)) == (
        "6 images of 3 identities; validation on the split val, 3 queries in 1 gallery images"
    )
    many = [entry for i in range(100) for entry in images(f"v{i:03}", "train", 3)]
    assert trained_on(manifest(*many)) == (
        "270 images of 90 identities; validation on identities held out of it, 20 queries in 10 gallery images"
    )


def test_data_that_no_training_takes_says_why() -> None:
    data = [*images("a", "query", 1), *images("a", "gallery", 1), *images("b", None, 2)]
    assert trained_on(manifest(*data)).startswith("none, no image to train on: none has the role train")
