from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.datasets.manifest import Entry, Manifest, ManifestError, Role
from index.datasets.protocol import CameraRule, Protocol, ProtocolError
from index.datasets.task import Task, one_gallery_image, plan_task
from model.box import Box


def entry(role: Role | None, identity: str = "", camera: str = "", split: str = "test", path: str = "") -> Entry:
    return Entry(path or f"{role}-{identity}-{camera}.png", identity, camera, role, split)


def manifest(*entries: Entry, protocol: Protocol | None = None) -> Manifest:
    return Manifest(Path("/data"), entries, Protocol("Set") if protocol is None else protocol)


def refusal(manifest: Manifest, split: str | None = None, camera_rule: CameraRule | None = None) -> str:
    with pytest.raises(ProtocolError) as raised:
        plan_task(manifest, split, camera_rule)
    return str(raised.value)


# Two vehicles, each looked for twice and once in the gallery, without cameras.
PLAIN = [entry("query", name, path=f"{name}{i}") for name in "ab" for i in range(2)]
PLAIN += [entry("gallery", name) for name in "ab"]

# The same, but each query's match was seen by another camera.
SEEN = [replace(one, camera="c1" if one.role == "query" else "c2") for one in PLAIN]


def test_a_plain_task_has_its_queries_and_gallery_in_the_order_of_the_manifest() -> None:
    shuffled = [PLAIN[i] for i in (4, 1, 3, 5, 0, 2)]
    data = manifest(*shuffled)
    queries, gallery = (PLAIN[1], PLAIN[3], PLAIN[0], PLAIN[2]), (PLAIN[4], PLAIN[5])
    assert plan_task(data) == Task(data, "Set", "test", "none", queries, gallery, 0, 0, ())


def test_training_images_and_those_without_a_role_are_not_used() -> None:
    task = plan_task(manifest(*PLAIN, entry("train", "a"), entry(None, "a", path="x"), entry(None)))
    assert (task.queries, task.gallery) == (tuple(PLAIN[:4]), tuple(PLAIN[4:]))
    assert (task.num_junk, task.warnings) == (0, ())


# Which split.


def in_split(split: str) -> list[Entry]:
    return [replace(one, split=split, path=f"{split}/{one.path}") for one in PLAIN]


@pytest.mark.parametrize(
    ("splits", "expected"),
    [(["val"], "val"), ([""], ""), (["test"], "test"), (["val", "test"], "test"), (["a", "test", "z"], "test")],
    ids=str,
)
def test_the_split_is_the_only_one_with_queries_or_test(splits: list[str], expected: str) -> None:
    entries = [one for split in splits for one in in_split(split)]
    training = [entry("train", "a", split="train"), entry("gallery", "a", split="train")]
    task = plan_task(manifest(*training, *entries))
    assert task.split == expected
    assert {one.split for one in task.queries + task.gallery} == {expected}
    assert (len(task.queries), len(task.gallery)) == (4, 2)


def test_several_splits_without_test_have_to_be_chosen_from() -> None:
    data = manifest(*in_split("val"), *in_split("dev"))
    assert refusal(data) == "there are queries in the splits dev, val: choose one with --split"
    assert plan_task(data, "val").queries == tuple(in_split("val")[:4])
    assert plan_task(data, "dev").queries == tuple(in_split("dev")[:4])


def test_a_split_that_is_asked_for_goes_before_test() -> None:
    assert plan_task(manifest(*in_split("val"), *in_split("test")), "val").split == "val"


@pytest.mark.parametrize(
    ("entries", "counts"),
    [
        (in_split("val"), "the split 'test' has 0 query and 0 gallery images: both are needed; its roles are none"),
        (
            PLAIN[:4],
            "the split 'test' has 4 query and 0 gallery images: both are needed; its roles are query 4",
        ),
        (
            [*PLAIN[4:], entry("train", "a")],
            "the split 'test' has 0 query and 2 gallery images: both are needed; its roles are gallery 2, train 1",
        ),
        (
            [*PLAIN[:4], entry("distractor"), entry(None)],
            "the split 'test' has 4 query and 1 gallery images: both are needed; its roles are query 4, distractor 1, "
            "none 1",
        ),
    ],
    ids=["of another name", "no gallery", "no queries", "distractors alone"],
)
def test_a_split_without_queries_or_gallery_is_refused_with_its_roles(entries: list[Entry], counts: str) -> None:
    assert refusal(manifest(*entries), "test") == counts


def test_a_gallery_image_beside_the_distractors_is_enough() -> None:
    task = plan_task(manifest(*PLAIN[:4], entry("distractor"), PLAIN[4], PLAIN[5]))
    assert [one.role for one in task.gallery] == ["distractor", "gallery", "gallery"]


# Roles.


@pytest.mark.parametrize(
    ("entries", "roles"),
    [([entry("train", "a"), entry("train", "b"), entry(None, "c")], "train 2, none 1"), (PLAIN[4:], "gallery 2")],
)
def test_roles_without_a_query_are_refused_with_those_that_are_there(entries: list[Entry], roles: str) -> None:
    assert refusal(manifest(*entries)).startswith(
        f"no line of the manifest has the role query, its roles are {roles}: give each"
    )


SINGLE = "identities with a single image, which is in the gallery and nobody's match"
GIVEN = "no image has a role: the first of each identity is its gallery image, the others are queries"


def without_roles(*pairs: tuple[str, str]) -> list[Entry]:
    return [Entry(path, identity, split="test") for path, identity in pairs]


def test_without_any_role_the_first_image_of_each_identity_is_the_gallerys() -> None:
    task = plan_task(manifest(*without_roles(("3", "a"), ("2", "b"), ("1", "a"), ("4", "b"), ("5", ""), ("6", "c"))))
    assert [one.path for one in task.gallery] == ["1", "2", "6"]
    assert [one.path for one in task.queries] == ["3", "4"]
    assert {one.role for one in task.queries} == {"query"}
    assert {one.role for one in task.gallery} == {"gallery"}
    assert task.manifest.entries == tuple(sorted(task.queries + task.gallery, key=lambda one: one.path))
    assert task.warnings == (GIVEN, f"{SINGLE}: 1 (c)")


def test_as_soon_as_one_image_has_a_role_none_is_given() -> None:
    task = plan_task(manifest(*PLAIN, *without_roles(("1", "a"), ("2", "b"))))
    assert (task.queries, task.gallery, task.warnings) == (tuple(PLAIN[:4]), tuple(PLAIN[4:]), ())


def test_images_without_roles_and_identities_are_refused() -> None:
    assert "no line of the manifest has the role query" in refusal(manifest(*without_roles(("1", ""), ("2", ""))))
    assert len(plan_task(manifest(*without_roles(("1", "a"), ("2", "a")))).queries) == 1


identities = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["", "a", "b", "c"])), max_size=20)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(identities)
def test_each_identity_has_one_gallery_image_and_it_is_the_first_by_path(pairs: list[tuple[int, str]]) -> None:
    entries = [Entry(f"{number:02d}", identity, box=Box(i, 0, 9, 9)) for i, (number, identity) in enumerate(pairs)]
    given_roles = one_gallery_image(iter(entries))
    assert sorted(str(one.box) for one in given_roles) == sorted(str(one.box) for one in entries if one.identity)
    for name in {identity for _, identity in pairs} - {""}:
        of_identity = [one for one in given_roles if one.identity == name]
        (gallery,) = [one for one in of_identity if one.role == "gallery"]
        assert all(one.role == "query" for one in of_identity if one is not gallery)
        assert gallery.path == min(one.path for one in of_identity)


def test_the_vehicles_of_one_file_are_taken_in_the_order_of_their_boxes_wherever_they_stand() -> None:
    vehicles = [Entry("f", "a", box=Box(x, 0, 9, 9)) for x in (3, 1, 2)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        given_roles = one_gallery_image([vehicles[i] for i in order])
        assert [(str(one.box), one.role) for one in given_roles] == [
            ("1,0,9,9", "gallery"),
            ("2,0,9,9", "query"),
            ("3,0,9,9", "query"),
        ]


# Identities.


@pytest.mark.parametrize("role", ["query", "gallery"])
def test_a_query_and_a_gallery_image_need_an_identity(role: Role) -> None:
    nameless = entry(role, "", path="nameless.png")
    assert refusal(manifest(*PLAIN, nameless)) == (
        f"nameless.png has the role {role} and no identity: give it one, or the role junk or distractor; where "
        "identities are not public, as VRAI's of its test split, choose another --split"
    )
    assert plan_task(manifest(*PLAIN, replace(nameless, identity="a"))).warnings == ()


@pytest.mark.parametrize("other", [entry("junk"), entry("distractor"), entry("train"), entry("query", split="train")])
def test_nobody_else_does(other: Entry) -> None:
    assert plan_task(manifest(*PLAIN, other)).queries == tuple(PLAIN[:4])


# Junk and distractors.


def test_junk_is_counted_and_left_out() -> None:
    task = plan_task(manifest(*PLAIN, entry("junk", "a"), entry("junk")))
    assert (task.queries, task.gallery, task.num_junk) == (tuple(PLAIN[:4]), tuple(PLAIN[4:]), 2)


def test_distractors_are_in_the_gallery_but_are_nobodys_match() -> None:
    distractor = entry("distractor", "c")
    query = entry("query", "c")
    task = plan_task(manifest(*PLAIN, distractor, query))
    assert task.gallery == (*PLAIN[4:], distractor)
    assert (task.queries, task.num_unmatched) == (tuple(PLAIN[:4]), 1)


@pytest.mark.parametrize(("split", "used"), [("test", True), ("", True), ("train", False), ("val", False)])
def test_junk_and_distractors_of_the_split_or_of_none_are_used(split: str, used: bool) -> None:
    distractor = entry("distractor", split=split)
    task = plan_task(manifest(*PLAIN, entry("junk", split=split), distractor))
    assert task.num_junk == used
    assert (distractor in task.gallery) == used


def test_queries_and_gallery_images_of_no_split_are_not_used() -> None:
    others = [entry("query", "a", split=""), entry("gallery", "a", split="", path="x")]
    task = plan_task(manifest(*others, *PLAIN))
    assert (task.queries, task.gallery) == (tuple(PLAIN[:4]), tuple(PLAIN[4:]))


# Cameras.

SAME_CAMERA = Protocol("Set", "same_camera")
TWO_CAMERAS = "the images have cameras, and the camera rule none counts a view by the query's own camera as a match"


def test_the_camera_rule_is_the_protocols_unless_another_is_asked_for() -> None:
    assert plan_task(manifest(*SEEN)).camera_rule == "none"
    assert plan_task(manifest(*SEEN, protocol=SAME_CAMERA)).camera_rule == "same_camera"
    assert plan_task(manifest(*SEEN, protocol=SAME_CAMERA), camera_rule="none").camera_rule == "none"
    assert plan_task(manifest(*SEEN), camera_rule="same_camera").camera_rule == "same_camera"


@pytest.mark.parametrize("missing", range(6))
def test_the_camera_rule_needs_every_camera(missing: int) -> None:
    entries = [replace(one, camera="") if i == missing else one for i, one in enumerate(SEEN)]
    assert refusal(manifest(*entries, protocol=SAME_CAMERA)) == (
        "the rule same_camera removes what the query's own camera saw, but 1 of 6 images of Set have no camera. "
        "Without cameras it would remove true matches, or all: use the camera rule none, or give every image its camera"
    )
    assert plan_task(manifest(*SEEN, protocol=SAME_CAMERA)).queries == tuple(SEEN[:4])
    assert plan_task(manifest(*entries)).queries == tuple(entries[:4])


def test_without_any_camera_the_camera_rule_is_refused() -> None:
    assert "6 of 6 images of Set have no camera" in refusal(manifest(*PLAIN), camera_rule="same_camera")


@pytest.mark.parametrize("other", [entry("distractor"), entry("junk"), entry("train", "a"), entry(None, "a")])
def test_images_that_nobody_has_to_match_need_no_camera(other: Entry) -> None:
    assert plan_task(manifest(*SEEN, other, protocol=SAME_CAMERA)).queries == tuple(SEEN[:4])


def test_several_cameras_of_the_queries_without_the_camera_rule_are_a_warning() -> None:
    several = [*SEEN[:3], replace(SEEN[3], camera="c3"), *SEEN[4:]]
    assert plan_task(manifest(*several)).warnings == (TWO_CAMERAS,)
    assert plan_task(manifest(*several, entry("distractor"))).warnings == (TWO_CAMERAS,)
    assert plan_task(manifest(*several), camera_rule="same_camera").warnings == ()
    assert plan_task(manifest(*SEEN)).warnings == ()  # one camera of all queries
    one_unknown = [*several[:4], replace(several[4], camera=""), several[5]]
    assert plan_task(manifest(*one_unknown)).warnings == ()


# Query and gallery swapped.


def gallery_images(identity: str, num: int) -> list[Entry]:
    return [entry("gallery", identity, path=f"g{identity}{i}") for i in range(num)]


def queries(identity: str, num: int) -> list[Entry]:
    return [entry("query", identity, path=f"q{identity}{i}") for i in range(num)]


@pytest.mark.parametrize(
    ("wanted", "of_gallery", "of_query", "message"),
    [
        (1, (1, 1), (3, 2), None),
        (1, (1, 1), (1, 1), None),
        (2, (2, 2), (1, 3), None),
        (None, (3, 1), (3, 2), None),
        (1, (2, 2), (3, 2), "1 gallery image of each identity, and there are 2 to 2"),
        (1, (1, 3), (3, 2), "1 gallery image of each identity, and there are 1 to 3"),
        (2, (1, 2), (2, 1), "2 gallery image of each identity, and there are 1 to 2"),
        (1, (3, 2), (1, 1), "there are 2 to 3: the queries have just that, so query and gallery are likely swapped"),
        (2, (1, 1), (2, 2), "there are 1 to 1: the queries have just that, so query and gallery are likely swapped"),
    ],
)
def test_the_gallery_has_as_many_images_of_each_identity_as_the_protocol_wants(
    wanted: int | None, of_gallery: tuple[int, int], of_query: tuple[int, int], message: str | None
) -> None:
    entries = [one for name, num in zip("ab", of_gallery, strict=True) for one in gallery_images(name, num)]
    entries += [one for name, num in zip("ab", of_query, strict=True) for one in queries(name, num)]
    data = manifest(*entries, entry("distractor", "a"), entry("junk", "a"), protocol=Protocol("Set", "none", wanted))
    if message is None:
        assert plan_task(data).warnings == ()
    else:
        refused = refusal(data)
        assert refused.startswith("the protocol wants ")
        assert refused.endswith(message)


ONE_QUERY = "every identity has one query and some have several gallery images. The other way round"


@pytest.mark.parametrize(
    ("of_query", "of_gallery", "wanted", "warned"),
    [
        ((1, 1), (1, 2), None, True),
        ((1, 1), (3, 3), None, True),
        ((1, 1), (1, 1), None, False),
        ((1, 2), (1, 2), None, False),
        ((1, 1), (2, 2), 2, False),
        ((2, 2), (1, 1), None, False),
    ],
)
def test_one_query_and_several_gallery_images_of_each_identity_are_a_warning(
    of_query: tuple[int, int], of_gallery: tuple[int, int], wanted: int | None, warned: bool
) -> None:
    entries = [one for name, num in zip("ab", of_gallery, strict=True) for one in gallery_images(name, num)]
    entries += [one for name, num in zip("ab", of_query, strict=True) for one in queries(name, num)]
    distractors = [entry("distractor", "a", path=str(i)) for i in range(3)]
    warnings = plan_task(manifest(*entries, *distractors, protocol=Protocol("Set", "none", wanted))).warnings
    assert [warning.startswith(ONE_QUERY) for warning in warnings] == [True] * warned


# True matches.


NO_MATCH = "no query has a true match in the gallery: query and gallery share 0 identities"


@pytest.mark.parametrize("rule", ["none", "same_camera"])
def test_a_gallery_of_other_vehicles_is_refused(rule: CameraRule) -> None:
    others = [entry("gallery", "c", "c2"), entry("gallery", "d", "c1"), entry("distractor")]
    assert refusal(manifest(*SEEN[:4], *others), camera_rule=rule) == NO_MATCH
    assert len(plan_task(manifest(*SEEN[:4], *others, SEEN[4]), camera_rule=rule).queries) == 2


def test_distractors_of_the_same_vehicle_are_not_blamed_on_the_camera_rule() -> None:
    assert refusal(manifest(*PLAIN[:4], entry("gallery", "c"), entry("distractor", "a"))) == NO_MATCH


def test_a_camera_rule_that_removes_every_match_is_refused() -> None:
    one_camera = [replace(one, camera="c1") for one in SEEN]
    assert refusal(manifest(*one_camera, protocol=SAME_CAMERA)) == (
        "no query has a true match in the gallery: query and gallery share 2 identities, and the rule same_camera "
        "removes each of their pairs: use the camera rule none"
    )
    assert len(plan_task(manifest(*one_camera), camera_rule="none").queries) == 4
    assert (
        len(plan_task(manifest(*one_camera[:5], replace(one_camera[5], camera="c2")), None, "same_camera").queries) == 2
    )


def test_queries_without_a_match_are_left_out_with_a_warning() -> None:
    unmatched = [entry("query", "c", path="c0"), entry("query", "d", path="d0")]
    task = plan_task(manifest(unmatched[0], *PLAIN, unmatched[1]))
    assert (task.queries, task.num_unmatched) == (tuple(PLAIN[:4]), 2)
    assert len(task.warnings) == 1
    assert task.warnings[0].startswith("2 of 6 queries have no true match in the gallery")
    assert task.warnings[0].endswith("they are left out, as the field does: c0 of c, d0 of d")
    matched = plan_task(manifest(*unmatched, *PLAIN, entry("gallery", "c"), entry("gallery", "d")))
    assert (len(matched.queries), matched.num_unmatched, matched.warnings) == (6, 0, ())


def test_the_first_queries_without_a_match_are_named_with_their_lines() -> None:
    unmatched = [replace(entry("query", "c", path=f"c{number}"), line=number + 2) for number in range(7)]
    (warning,) = plan_task(manifest(*PLAIN, *unmatched)).warnings
    named = ", ".join(f"c{number} (line {number + 2}) of c" for number in range(5))
    assert warning.startswith("7 of 11 queries have no true match")
    assert warning.endswith(f": {named} and 2 more")


def test_identities_with_a_single_gallery_image_are_named() -> None:
    single = [entry("gallery", name) for name in ("z", "d", "c")]
    not_single = [entry("gallery", "e"), entry("gallery", "e", path="another")]
    nobody = [entry("distractor", "f"), entry("distractor"), entry("junk", "g"), entry("train", "h")]
    assert plan_task(manifest(*PLAIN, *single, *not_single, *nobody)).warnings == (f"{SINGLE}: 3 (c, d, z)",)
    many = [entry("gallery", f"v{number}") for number in range(8)]
    assert plan_task(manifest(*PLAIN, *many)).warnings == (f"{SINGLE}: 8 (v0, v1, v2, v3, v4 and 3 more)",)
    # A query that is the only image of its vehicle is named as a query.
    (warning,) = plan_task(manifest(*PLAIN, entry("query", "c"))).warnings
    assert warning.startswith("1 of 5 queries have no true match")


def test_a_query_whose_matches_its_own_camera_saw_is_left_out_under_the_camera_rule_alone() -> None:
    own = [replace(SEEN[0], camera="c2", path="own"), *SEEN]
    task = plan_task(manifest(*own, protocol=SAME_CAMERA))
    assert (task.queries, task.num_unmatched) == (tuple(SEEN[:4]), 1)
    assert len(plan_task(manifest(*own), camera_rule="none").queries) == 5
    both = [*own, replace(SEEN[4], camera="c9", path="another view")]
    assert plan_task(manifest(*both, protocol=SAME_CAMERA)).num_unmatched == 0


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["query", "query", "gallery", "gallery", "distractor", "junk", "train"]),
            st.sampled_from("abc"),
            st.sampled_from(["c1", "c2"]),
        ),
        max_size=14,
    ),
    st.sampled_from(["none", "same_camera"]),
)
def test_the_queries_are_those_with_a_true_match(pairs: list[tuple[Role, str, str]], rule: CameraRule) -> None:
    entries = [entry(role, identity, camera, path=str(i)) for i, (role, identity, camera) in enumerate(pairs)]
    all_queries = [one for one in entries if one.role == "query"]
    gallery = [one for one in entries if one.role == "gallery"]
    matched = [
        query
        for query in all_queries
        if any(one.identity == query.identity and (rule == "none" or one.camera != query.camera) for one in gallery)
    ]
    if not entries or not matched:
        refusal(manifest(*entries), camera_rule=rule)
        return
    task = plan_task(manifest(*entries), camera_rule=rule)
    assert task.queries == tuple(matched)
    assert task.gallery == tuple(one for one in entries if one.role in ("gallery", "distractor"))
    assert task.num_unmatched == len(all_queries) - len(matched)
    assert task.num_junk == sum(one.role == "junk" for one in entries)


# The same vehicle on several lines.

LEFT_OUT = "lines that repeat another (the same image, box, split, role, identity and camera), left out"


@pytest.mark.parametrize(
    ("repeated", "num"),
    [(PLAIN[4:] * 2, 4), (PLAIN[:1], 1), ([replace(one, path=f"x/.././{one.path}") for one in PLAIN], 6)],
    ids=["gallery thrice", "a query twice", "all, written differently"],
)
def test_repeated_lines_are_left_out_and_counted(repeated: list[Entry], num: int) -> None:
    once, again = plan_task(manifest(*PLAIN)), plan_task(manifest(*PLAIN, *repeated))
    assert (again.queries, again.gallery) == (once.queries, once.gallery)
    assert again.warnings == (f"{LEFT_OUT}: {num}",)


def test_a_repeat_is_no_query_of_its_own_image_where_roles_are_given() -> None:
    task = plan_task(manifest(*without_roles(("1", "a"), ("1", "a"), ("2", "a"), ("./2", "a"))))
    assert ([one.path for one in task.gallery], [one.path for one in task.queries]) == (["1"], ["2"])
    assert task.warnings == (f"{LEFT_OUT}: 2", GIVEN)


@pytest.mark.parametrize("change", [{"identity": "c"}, {"camera": "c9"}, {"role": "distractor"}, {"role": "junk"}])
def test_a_contradiction_is_refused(change: dict[str, Any]) -> None:
    data = manifest(*SEEN, replace(SEEN[4], **change))
    with pytest.raises(ManifestError, match="are one vehicle, the same image"):
        plan_task(data)


def test_a_vehicle_with_two_identities_is_refused_where_no_image_has_a_role() -> None:
    data = manifest(*without_roles(("1", "a"), ("2", "a"), ("1", "b"), ("3", "b")))
    with pytest.raises(ManifestError, match="its identity is 'a' on one line and 'b' on the other"):
        plan_task(data)


def test_contradictions_of_a_split_that_is_not_asked_for_do_not_matter() -> None:
    others = [replace(PLAIN[0], split="val"), replace(PLAIN[0], split="val", identity="z")]
    assert plan_task(manifest(*PLAIN, *others), "test").queries == tuple(PLAIN[:4])


def test_a_query_that_is_in_the_gallery_too_stays() -> None:
    task = plan_task(manifest(*PLAIN, replace(PLAIN[0], role="gallery")))
    assert (len(task.queries), len(task.gallery)) == (4, 3)


def test_images_that_are_trained_on_are_a_warning() -> None:
    trained = [
        replace(PLAIN[0], role="train", split="train"),
        replace(PLAIN[4], role="train", path=f"./{PLAIN[4].path}"),
    ]
    (warning,) = plan_task(manifest(*PLAIN, *trained)).warnings
    assert warning == "2 images of the split 'test' are training images too: a network knows them by heart"


def test_what_was_left_out_of_the_manifest_is_a_warning_of_the_task() -> None:
    data = replace(manifest(*PLAIN), warnings=("2 files are no images",))
    assert plan_task(data).warnings == ("2 files are no images",)
    drawn = [Entry(f"{i}", name, further={"draws": "0 1" if i == 0 else ""}) for name in "ab" for i in range(3)]
    drawn = [replace(one, path=f"{one.identity}{one.path}") for one in drawn]
    data = Manifest(Path("/data"), (*drawn, *drawn), Protocol("Set", num_draws=2), ("2 files are no images",))
    task = plan_task(data)
    assert task.warnings == ("2 files are no images", f"{LEFT_OUT}: 6")
    assert [len(one.queries) for one in (task, *task.further_draws)] == [4, 4]
