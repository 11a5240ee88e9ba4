import numpy as np
import pytest

from index.datasets.manifest import Entry
from training.annotations import ANNOTATIONS_OF, annotations_of, names_of_annotations, view_of_heading
from training.recipe import Recipe


def entries_of(*further: dict[str, str]) -> list[Entry]:
    return [Entry(f"{number}.jpg", "car", further=columns) for number, columns in enumerate(further)]


def test_the_values_are_class_indices_in_their_order() -> None:
    entries = entries_of(
        {"type": "van", "colour": "White"}, {"type": "sedan", "colour": "blue"}, {"type": "van", "colour": " white "}
    )
    found = annotations_of(entries, ANNOTATIONS_OF["ram"])
    assert found.classes == {"type": ("sedan", "van"), "colour": ("blue", "white")}
    assert found.num_classes == {"type": 2, "colour": 2}
    assert found.missing == ()
    assert found.indices(entries).tolist() == [[1, 1], [0, 0], [1, 1]]
    assert found.indices(entries).dtype == np.int64
    assert found.facts() == {"annotations": {"used": ["type", "colour"], "missing": []}}


def test_what_is_unknown_is_minus_one_whoever_is_asked_for() -> None:
    entries = entries_of({"colour": "red"}, {"colour": ""}, {}, {"colour": "blue"})
    found = annotations_of(entries, ANNOTATIONS_OF["am_wtl"])
    assert found.indices(entries).tolist() == [[1], [-1], [-1], [0]]
    # Classes are those of all entries: to leave some out renumbers none, and a value never seen is unknown.
    assert found.indices([entries[0]]).tolist() == [[1]]
    assert found.indices(entries_of({"colour": "green"})).tolist() == [[-1]]
    assert found.indices([]).shape == (0, 1)


@pytest.mark.parametrize("columns", [{}, {"colour": ""}, {"colour": "red"}, {"type": "van"}])
def test_where_nothing_is_to_be_told_apart_the_annotation_is_missing(columns: dict[str, str]) -> None:
    entries = entries_of(columns, columns, {})
    found = annotations_of(entries, ANNOTATIONS_OF["am_wtl"])
    assert found.classes == {}
    assert found.missing == ("colour",)
    assert found.indices(entries).shape == (3, 0)
    assert found.facts() == {"annotations": {"used": [], "missing": ["colour"]}}


def test_one_of_two_may_be_missing() -> None:
    entries = entries_of({"color": "red"}, {"color": "blue"})  # as American data calls it
    found = annotations_of(entries, ANNOTATIONS_OF["ram"])
    assert found.classes == {"colour": ("blue", "red")}
    assert found.missing == ("type",)
    assert found.indices(entries).tolist() == [[1], [0]]


def test_views_are_a_column_or_follow_from_the_heading() -> None:
    entries = entries_of(
        {"view": "front"}, {"heading_deg": "91.5"}, {"view": "left", "heading_deg": "0"}, {"heading_deg": ""},
        {"heading_deg": "nan"}, {"heading_deg": "up"},
    )  # fmt: skip
    found = annotations_of(entries, ANNOTATIONS_OF["vscr"])
    assert found.classes == {"view": ("front", "left", "rear")}
    assert found.indices(entries).ravel().tolist() == [0, 2, 1, -1, -1, -1]


@pytest.mark.parametrize(
    ("heading_deg", "view"),
    [
        (0, "right"), (44, "right"), (-44, "right"), (46, "rear"), (90, "rear"), (134, "rear"), (136, "left"),
        (180, "left"), (-180, "left"), (-136, "left"), (-134, "front"), (-90, "front"), (270, "front"), (-46, "front"),
        (359.9, "right"), (-359, "right"), (450, "rear"),
    ],
)  # fmt: skip
def test_the_near_side_is_what_an_upright_camera_sees(heading_deg: float, view: str) -> None:
    assert view_of_heading(heading_deg) == view


def test_methods_that_learn_from_identities_alone_have_none() -> None:
    entries = entries_of({"type": "van", "colour": "red", "view": "front"}, {"type": "bus", "colour": "blue"})
    for architecture in ("sanet", "baseline", "scan", "cn_nets"):
        found = annotations_of(entries, names_of_annotations(Recipe(architecture=architecture)))
        assert (found.classes, found.missing, found.facts()) == ({}, (), {})


def test_the_fingerprint_is_of_what_is_learned_from() -> None:
    entries = entries_of({"colour": "red", "type": "van"}, {"colour": "blue"}, {"colour": "red"})
    found = annotations_of(entries, ["colour"])
    others = [
        entries_of({"colour": "blue"}, {"colour": "red"}, {"colour": "red"}),
        entries_of({"colour": "red"}, {"colour": "blue"}, {}),
        entries_of({"colour": "red"}, {"colour": "green"}, {"colour": "red"}),
    ]
    fingerprints = {annotations_of(other, ["colour"]).fingerprint(other) for other in others}
    assert len(fingerprints | {found.fingerprint(entries)}) == 4
    same = entries_of({"colour": " RED"}, {"colour": "blue", "type": "bus"}, {"color": "red"})
    assert annotations_of(same, ["colour"]).fingerprint(same) == found.fingerprint(entries)


def test_what_has_no_weight_is_not_learned_from() -> None:
    assert names_of_annotations(Recipe(architecture="ram")) == ("type", "colour")
    assert names_of_annotations(Recipe(architecture="vscr", annotation_weight=0.1)) == ("view",)
    assert names_of_annotations(Recipe(architecture="ram", annotation_weight=0.0)) == ()
