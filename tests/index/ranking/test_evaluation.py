import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbeddedEntries, embed_entries
from index.datasets.manifest import Entry, Manifest, Role, read_manifest, write_manifest
from index.datasets.protocol import CameraRule, Protocol, ProtocolError
from index.datasets.task import Task, plan_task
from index.ranking import evaluation
from index.ranking.bootstrap import NUM_RESAMPLES
from index.ranking.evaluation import (
    Evaluation,
    bootstrap_intervals,
    check_figures,
    evaluate,
    evaluate_embedded,
)
from index.ranking.query_matches import NO_MATCH
from index.ranking.ranking_metrics import QueryScores
from model.box import Box
from model.embeddings import Embeddings
from model.preprocessing import Preprocessing
from tests.conftest import picture, png
from tests.index import naive

SMALL = Preprocessing(size_px=32)
NUM_PICTURES = 12


def mean_colours(images: NDArray[np.uint8]) -> Embeddings:
    """An embedding of 3 numbers, the same in whatever batch."""
    embedding = np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)
    return Embeddings(embedding, np.tile(np.eye(2, 3, dtype=np.float32), (len(images), 1, 1)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(NUM_PICTURES):
        (folder / f"{seed}.png").write_bytes(png(seed))
    return folder


def random_entries(seed: int) -> list[Entry]:
    """Vehicles all over the pictures: every role, three cameras, some in other splits, identities that only one has."""
    rng = np.random.default_rng(seed)
    entries = []
    for _ in range(45):
        role: Role = rng.choice(["query", "gallery", "gallery", "distractor", "junk", "train"])
        x, y = rng.integers(30), rng.integers(20)
        entries.append(
            Entry(
                f"{rng.integers(NUM_PICTURES)}.png",
                str(rng.choice(list("abcdefgh" if role == "query" else "cdefghij"))),
                str(rng.choice(["north", "south", "east"])),
                role,
                "train" if role == "train" else str(rng.choice(["test", "test", "test", "val"])),
                box=None if rng.random() < 0.2 else Box(int(x), int(y), 20, 15),
            )
        )
    # One vehicle on two lines would be refused, or counted once.
    return list({entry.key: entry for entry in reversed(entries)}.values())


def colour_by_hand(entry: Entry) -> list[float]:
    pixels = picture(int(entry.path.removesuffix(".png")))
    if entry.box is not None:
        pixels = pixels[entry.box.y : entry.box.y + entry.box.h, entry.box.x : entry.box.x + entry.box.w]
    colour: list[float] = mean_colours(SMALL(pixels)[None]).embedding[0].tolist()
    return colour


def scores_by_hand(entries: Sequence[Entry], rule: CameraRule) -> list[naive.Scores]:
    """Of the queries of the split test that have a true match, in order."""
    gallery = [one for one in entries if one.split == "test" and one.role in ("gallery", "distractor")]
    colours = [colour_by_hand(one) for one in gallery]
    scores = []
    for query in entries:
        if query.split != "test" or query.role != "query":
            continue
        labels = [1 if one.role == "gallery" and one.identity == query.identity else NO_MATCH for one in gallery]
        cameras = None if rule == "none" else [int(one.camera == query.camera) for one in gallery]
        truths = naive.rank_gallery(colour_by_hand(query), colours, 1, labels, 1, cameras)
        if any(truths):
            scores.append(naive.score_ranking(truths))
    return scores


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("rule", ["none", "same_camera"])
@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_a_naive_evaluation(pictures: Path, seed: int, rule: CameraRule) -> None:
    entries = random_entries(seed)
    write_manifest(pictures / f"{seed}.csv", entries, Protocol("Colours", rule))
    task = plan_task(read_manifest(pictures / f"{seed}.csv"))
    progress = list[int]()
    result = evaluate(task, SMALL, mean_colours, progress.append)
    scores = scores_by_hand(entries, rule)
    assert result.map == pytest.approx(mean([one.average_precision for one in scores]), rel=1e-12)
    assert result.minp == pytest.approx(mean([one.inverse_negative_penalty for one in scores]), rel=1e-12)
    first_ranks = [one.first_rank for one in scores]
    for rank in range(1, 40):
        assert result.cmc(rank) == pytest.approx(naive.cmc(first_ranks, rank), rel=1e-12)
    assert len(result.cmc_curve) == max(first_ranks)

    in_test = [one for one in entries if one.split == "test"]
    num = {role: sum(one.role == role for one in in_test) for role in ("query", "gallery", "distractor", "junk")}
    fields = result.to_dict()
    assert fields["num_queries"] == len(scores)
    assert fields["num_unmatched"] == num["query"] - len(scores) > 0
    assert fields["num_gallery"] == num["gallery"] + num["distractor"]
    assert fields["num_distractors"] == num["distractor"] > 0
    assert fields["num_junk"] == num["junk"] > 0
    assert sum(progress) == len(scores) + num["gallery"] + num["distractor"]


def greys(*entries: tuple[Role, str, str, float]) -> tuple[Task, EmbeddedEntries]:
    """A task of entries (role, identity, camera, number), embedded as their numbers on a line."""
    return greys_by_rule("none", *entries)


def greys_by_rule(rule: CameraRule, *entries: tuple[Role, str, str, float]) -> tuple[Task, EmbeddedEntries]:
    lines = tuple(Entry(f"{i}.png", name, camera, role, "test") for i, (role, name, camera, _) in enumerate(entries))
    task = plan_task(Manifest(Path("/data"), lines, Protocol("Greys", rule)))
    used = [lines.index(one) for one in task.queries + task.gallery]
    embedding = np.array([[entries[i][3]] for i in used], np.float32)
    thetas = np.tile(np.eye(2, 3, dtype=np.float32), (len(used), 1, 1))
    return task, EmbeddedEntries(embedding, thetas, [f"content of {lines[i].path}" for i in used])


def figures(result: Evaluation) -> tuple[float, float, float]:
    return result.cmc(1), result.map, result.minp


BASE: list[tuple[Role, str, str, float]] = [
    ("query", "a", "n", 0), ("gallery", "a", "s", 3), ("gallery", "b", "s", 5), ("query", "b", "n", 6),
]  # fmt: skip

FEW = "the queries are of 2 vehicles only: intervals over fewer than 6 identities are too narrow to rely on"


def test_junk_is_not_in_the_way() -> None:
    junk: list[tuple[Role, str, str, float]] = [("junk", "b", "s", 0), ("junk", "", "", 6), ("junk", "a", "s", 6)]
    assert figures(evaluate_embedded(*greys(*BASE, *junk))) == (1, 1, 1)


@pytest.mark.parametrize("identity", ["", "a", "c"])
def test_distractors_are_in_the_way_and_never_a_match_whatever_they_are_called(identity: str) -> None:
    distractor: tuple[Role, str, str, float] = ("distractor", identity, "n", 1)
    for rule in ("none", "same_camera"):
        assert figures(evaluate_embedded(*greys_by_rule(rule, *BASE, distractor))) == (1 / 2, 3 / 4, 3 / 4)
    assert figures(evaluate_embedded(*greys(*BASE))) == (1, 1, 1)


def test_gallery_images_of_vehicles_that_nobody_looks_for_are_in_the_way() -> None:
    others: list[tuple[Role, str, str, float]] = [("gallery", "c", "n", 1), ("gallery", "d", "n", 2)]
    assert figures(evaluate_embedded(*greys(*BASE, *others))) == (1 / 2, 2 / 3, 2 / 3)


def test_the_camera_rule_takes_the_own_cameras_view_of_the_same_vehicle_out() -> None:
    # Query a finds itself by its own camera at 0; else only behind the other vehicle that its camera saw.
    lines: list[tuple[Role, str, str, float]] = [
        ("query", "a", "n", 0), ("gallery", "a", "n", 0), ("gallery", "b", "n", 1), ("gallery", "a", "s", 2),
    ]  # fmt: skip
    assert figures(evaluate_embedded(*greys_by_rule("same_camera", *lines))) == (0, 1 / 2, 1 / 2)
    assert figures(evaluate_embedded(*greys_by_rule("none", *lines))) == pytest.approx((1, 5 / 6, 2 / 3))


def test_cmc_beyond_the_curve_is_its_last_value() -> None:
    result = evaluate_embedded(*greys(*BASE, ("distractor", "", "", 1)))
    assert result.cmc_curve.tolist() == [0.5, 1.0]
    assert [result.cmc(rank) for rank in (1, 2, 3, 10, 10**9)] == [0.5, 1, 1, 1, 1]
    for rank in (0, -1):
        with pytest.raises(ValueError, match=f"ranks start at 1, got {rank}"):
            result.cmc(rank)


def test_the_dictionary_is_json_and_complete() -> None:
    before = datetime.now(UTC)
    result = evaluate_embedded(*greys(*BASE, ("distractor", "", "", 1), ("query", "z", "n", 1), ("junk", "", "", 1)))
    fields = json.loads(json.dumps(result.to_dict((1, 2, 20)), allow_nan=False))
    evaluated_at = datetime.fromisoformat(fields.pop("evaluated_at"))
    assert evaluated_at == result.evaluated_at.replace(microsecond=0)
    assert before <= result.evaluated_at <= before + timedelta(minutes=10)
    assert fields == {
        "dataset": "Greys",
        "dataset_fingerprint": result.dataset_fingerprint,
        "split": "test",
        "camera_rule": "none",
        "cmc": {"1": 0.5, "2": 1.0, "20": 1.0},
        "map": 0.75,
        "minp": 0.75,
        "intervals": {name: list(result.intervals[name]) for name in ("cmc1", "map")},
        "intervals_over": "identities",
        "refinement": None,
        "num_draws": 1,
        "num_queries": 2,
        "num_query_identities": 2,
        "num_unmatched": 1,
        "num_gallery": 3,
        "num_distractors": 1,
        "num_junk": 1,
        "warnings": [*result.task.warnings, FEW],
        "cmc_curve": [0.5, 1.0],
    }
    assert fields["warnings"][0].startswith("1 of 3 queries have no true match")
    assert list(result.to_dict()["cmc"]) == ["1", "5", "10"]


def test_the_intervals_are_those_of_the_queries_identities() -> None:
    lines: list[tuple[Role, str, str, float]] = [
        *BASE, ("query", "b", "n", 5.5), ("query", "b", "n", 7), ("query", "c", "n", 20), ("gallery", "c", "n", 21),
        ("distractor", "", "", 1),
    ]  # fmt: skip
    result = evaluate_embedded(*greys(*lines))
    assert result.query_identities == ("a", "b", "b", "b", "c")
    assert result.scores.first_rank.tolist() == [2, 1, 1, 1, 1]
    ranks = np.array([2, 1, 1, 1, 1])
    scores = QueryScores(np.ones(5, np.int64), ranks, 1 / ranks, 1 / ranks)
    assert result.intervals == bootstrap_intervals(scores, ["a", "b", "b", "b", "c"])
    assert result.intervals != bootstrap_intervals(scores, ["a", "b1", "b2", "b3", "c"])
    assert result.to_dict()["num_query_identities"] == 3


# Queries that are in the gallery too.


def shared(result: Evaluation) -> list[str]:
    return [warning for warning in result.warnings if "are in the gallery too" in warning]


def test_a_query_that_is_in_the_gallery_too_is_warned_of(tmp_path: Path) -> None:
    for name, seed in (("q", 1), ("copy", 1), ("g", 2)):
        (tmp_path / f"{name}.png").write_bytes(png(seed))
    box, other = Box(0, 0, 30, 30), Box(20, 5, 30, 30)

    def result(*entries: Entry) -> Evaluation:
        return evaluate(plan_task(Manifest(tmp_path, entries, Protocol("Set"))), SMALL, mean_colours)

    def query(box: Box | None, identity: str = "a") -> Entry:
        return Entry("q.png", identity, role="query", box=box)

    def gallery(path: str, box: Box | None, identity: str = "a", role: Role = "gallery") -> Entry:
        return Entry(path, identity, role=role, box=box)

    assert shared(result(query(box), gallery("g.png", box))) == []
    assert shared(result(query(box), gallery("q.png", other))) == []
    assert shared(result(query(None), gallery("q.png", other))) == []
    for same in (gallery("q.png", box), gallery("copy.png", box)):
        (warning,) = shared(result(query(box), same))
        assert warning.startswith("1 queries are in the gallery too, the same image and box")
    everyone = result(query(box), query(other), query(None), gallery("copy.png", None), gallery("copy.png", other))
    assert shared(everyone)[0].startswith("2 queries")
    as_distractor = result(query(box), gallery("g.png", None), gallery("copy.png", box, "", "distractor"))
    assert shared(as_distractor)[0].startswith("1 queries")


def test_the_warnings_of_the_task_stay() -> None:
    task, embedded = greys(*BASE, ("query", "z", "n", 1))
    assert task.warnings != ()
    assert evaluate_embedded(task, embedded).warnings == (*task.warnings, FEW)
    twins = embedded._replace(content=["the same"] * len(embedded.content))
    *warnings, shared, few = evaluate_embedded(task, twins).warnings
    assert (tuple(warnings), few) == (task.warnings, FEW)
    assert shared.startswith("2 queries are in the gallery too")


def test_intervals_over_a_single_vehicle_are_warned_of() -> None:
    one, embedded = greys(("query", "a", "n", 0), ("query", "a", "n", 9), ("gallery", "a", "s", 1))
    result = evaluate_embedded(one, embedded)
    low, high = result.intervals["cmc1"]
    assert low == high
    assert result.warnings[-1].startswith("all queries are of one vehicle, a: intervals over identities have no width")
    assert result.to_dict()["num_query_identities"] == 1
    two, embedded = greys(
        ("query", "a", "n", 0), ("query", "b", "n", 9), ("gallery", "a", "s", 1), ("gallery", "b", "s", 8)
    )
    assert not any("of one vehicle" in warning for warning in evaluate_embedded(two, embedded).warnings)


@pytest.mark.parametrize("num", [1, 2, 5, 6, 7])
def test_intervals_over_fewer_than_six_vehicles_are_warned_of(num: int) -> None:
    names = [f"v{number}" for number in range(num)]
    queries: list[tuple[Role, str, str, float]] = [("query", name, "n", 1) for name in names]
    gallery: list[tuple[Role, str, str, float]] = [("gallery", name, "s", 1) for name in names]
    result = evaluate_embedded(*greys(*queries, *queries, *gallery))
    warned = [warning for warning in result.warnings if "intervals over" in warning]
    assert len(warned) == (num < 6)
    if 1 < num < 6:
        assert warned[0].startswith(f"the queries are of {num} vehicles only: intervals over fewer than 6 identities")
    assert result.to_dict()["num_query_identities"] == num
    assert set(warned) <= set(result.to_dict()["warnings"])


# The fingerprint of the data.

QUERY = Entry("0.png", "a", "north", "query", "test", "noon", Box(0, 0, 30, 30))
OTHER = replace(QUERY, path="1.png", identity="b")
GALLERY = replace(QUERY, path="2.png", camera="south", role="gallery")
REST = replace(OTHER, path="3.png", camera="south", role="gallery")
DISTRACTOR = Entry("4.png", "", "south", "distractor", "test")
JUNK = Entry("5.png", "", "south", "junk", "test")
TRAIN = Entry("6.png", "a", "north", "train", "train")
UNMATCHED = replace(QUERY, path="7.png", identity="z")
USED = [QUERY, OTHER, GALLERY, REST, DISTRACTOR]


def fingerprint(folder: Path, *entries: Entry, rule: CameraRule = "same_camera") -> str:
    task = plan_task(Manifest(folder, entries, Protocol("Set", rule)))
    return evaluate(task, SMALL, mean_colours).dataset_fingerprint


def test_the_fingerprint_is_a_sha256_that_stays_the_same(pictures: Path) -> None:
    value = fingerprint(pictures, *USED)
    assert value == fingerprint(pictures, *USED)
    assert len(bytes.fromhex(value)) == hashlib.sha256().digest_size


CHANGES: list[tuple[str, int, dict[str, Any]]] = [
    ("identity of a query", 0, {"identity": "b"}),
    ("identity of a gallery image", 2, {"identity": "c"}),
    ("camera of a query", 0, {"camera": "east"}),
    ("camera of a gallery image", 2, {"camera": "east"}),
    ("camera of a distractor", 4, {"camera": "east"}),
    ("role", 3, {"role": "distractor"}),
    ("box", 0, {"box": Box(0, 0, 30, 31)}),
    ("box of a distractor", 4, {"box": Box(0, 0, 60, 40)}),
    ("no box", 2, {"box": None}),
    ("image of a query", 1, {"path": "8.png"}),
    ("image of a distractor", 4, {"path": "8.png"}),
]


@pytest.mark.parametrize(("what", "position", "change"), CHANGES, ids=[what for what, _, _ in CHANGES])
def test_the_fingerprint_changes_with_any_line_that_is_used(
    pictures: Path, what: str, position: int, change: dict[str, Any]
) -> None:
    changed = [replace(one, **change) if i == position else one for i, one in enumerate(USED)]
    more = replace(GALLERY, path="9.png", camera="west")  # keeps a match for everyone
    assert fingerprint(pictures, *changed, more) != fingerprint(pictures, *USED, more)


def test_the_fingerprint_changes_with_the_camera_rule_and_with_lines_that_come_or_go(pictures: Path) -> None:
    extra = [replace(GALLERY, path="9.png"), replace(DISTRACTOR, path="9.png"), replace(QUERY, path="9.png")]
    values = [
        fingerprint(pictures, *USED),
        fingerprint(pictures, *USED, rule="none"),
        fingerprint(pictures, *USED[:4]),
        fingerprint(pictures, QUERY, *USED[2:]),
        *(fingerprint(pictures, *USED, one) for one in extra),
    ]
    assert len(set(values)) == len(values)


def test_the_fingerprint_does_not_change_with_lines_that_are_not_used_nor_with_names(pictures: Path) -> None:
    value = fingerprint(pictures, *USED)
    for unused in itertools.permutations([JUNK, TRAIN, UNMATCHED]):
        assert fingerprint(pictures, unused[0], QUERY, unused[1], *USED[1:], unused[2]) == value
    assert fingerprint(pictures, *USED[2:], *USED[:2]) == value  # queries first in any case
    (pictures / "renamed.png").write_bytes((pictures / "2.png").read_bytes())
    renamed = replace(GALLERY, path="renamed.png", captured_at="", further={"k": "v"})
    assert fingerprint(pictures, QUERY, OTHER, renamed, REST, DISTRACTOR) == value


@pytest.mark.parametrize("position", range(5))
def test_the_fingerprint_changes_with_any_byte_of_a_used_image(pictures: Path, tmp_path: Path, position: int) -> None:
    for seed in range(8):
        (tmp_path / f"{seed}.png").write_bytes((pictures / f"{seed}.png").read_bytes())
    everything = [*USED, JUNK, TRAIN, UNMATCHED]
    value = fingerprint(tmp_path, *everything)
    assert value == fingerprint(pictures, *everything)
    path = tmp_path / USED[position].path
    path.write_bytes(path.read_bytes() + b"\n")  # behind the picture: its pixels stay the same
    assert fingerprint(tmp_path, *everything) != value
    for unused in (JUNK, TRAIN, UNMATCHED):
        changed = fingerprint(tmp_path, *everything)
        (tmp_path / unused.path).write_bytes(b"other")
        assert fingerprint(tmp_path, *everything) == changed


# Intervals.


def random_scores(seed: int, num: int) -> QueryScores:
    rng = np.random.default_rng(seed)
    first = rng.geometric(0.5, num)
    return QueryScores(np.ones(num, np.int64), first, 1 / first, 1 / first)


def percentile(values: Sequence[float], share: float) -> float:
    """With linear interpolation between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def names(num: int) -> list[str]:
    """An identity for each query, in an order that is not the alphabet's."""
    return [f"vehicle {(7 * number) % 101}-{number}" for number in range(num)]


@pytest.mark.parametrize(("seed", "num"), [(0, 2), (0, 7), (0, 40), (3, 40)])
def test_with_one_query_per_identity_the_intervals_are_those_of_a_naive_bootstrap_of_queries(
    seed: int, num: int
) -> None:
    scores = random_scores(seed, num)
    rng = np.random.default_rng(seed)
    cmc1, map_ = [], []
    for _ in range(NUM_RESAMPLES):
        drawn = rng.integers(num, size=num).tolist()
        cmc1.append(mean([float(scores.first_rank[i] == 1) for i in drawn]))
        map_.append(mean([float(scores.average_precision[i]) for i in drawn]))
    intervals = bootstrap_intervals(scores, names(num), seed)
    assert intervals.keys() == {"cmc1", "map"}
    for name, values in (("cmc1", cmc1), ("map", map_)):
        expected = percentile(values, 0.025), percentile(values, 0.975)
        assert intervals[name] == pytest.approx(expected, abs=1e-12)
    assert NUM_RESAMPLES == 1000


@pytest.mark.parametrize("seed", range(5))
def test_many_queries_have_intervals_as_wide_as_the_normal_distribution_says(seed: int) -> None:
    scores = random_scores(seed, 500)
    for name, values in (("cmc1", scores.first_rank == 1), ("map", scores.average_precision)):
        low, high = bootstrap_intervals(scores, names(500))[name]
        error = values.std() / 500**0.5
        assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
        assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


@pytest.mark.parametrize("num", [1, 2, 5, 30])
def test_the_intervals_are_always_the_same_and_contain_the_figure(num: int) -> None:
    for seed in range(10):
        scores = random_scores(seed, num)
        intervals = bootstrap_intervals(scores, names(num))
        assert intervals == bootstrap_intervals(scores, names(num))
        for name, value in (("cmc1", (scores.first_rank == 1).mean()), ("map", scores.average_precision.mean())):
            low, high = intervals[name]
            assert 0 <= low <= value <= high <= 1


def test_one_query_has_an_interval_of_no_width() -> None:
    scores = QueryScores(np.array([2]), np.array([3]), np.array([0.4]), np.array([0.5]))
    assert bootstrap_intervals(scores, ["a"]) == {"cmc1": (0.0, 0.0), "map": (0.4, 0.4)}


def test_perfect_queries_have_an_interval_of_no_width() -> None:
    ones = np.ones(20, np.int64)
    scores = QueryScores(ones, ones, np.ones(20), np.ones(20))
    assert bootstrap_intervals(scores, names(20)) == {"cmc1": (1, 1), "map": (1, 1)}


# Figures that no ranking can have.

IMPOSSIBLE = "is impossible where every query has one true match"
NOT_TOGETHER = "does not go with mAP"


@pytest.mark.parametrize(
    ("cmc1", "map_", "minp", "max_matches", "message"),
    [
        (0.965, 0.919, None, 1, r"^CMC-1 0\.9650 above mAP 0\.9190 " + IMPOSSIBLE),
        (0.5 + 2e-9, 0.5, None, 1, IMPOSSIBLE),
        (0.5, 0.6, 0.5999, 1, r"^mINP 0\.5999 " + NOT_TOGETHER + r" 0\.6000"),
        (0.5, 0.6, 0.6001, 1, NOT_TOGETHER),
        (0.9, 0.1, 0.21, 10, r"^mINP 0\.2100 " + NOT_TOGETHER + r" 0\.1000"),
        (0.0, 0.0, 0.1, 3, NOT_TOGETHER),
    ],
)
def test_figures_that_contradict_each_other_are_refused(
    cmc1: float, map_: float, minp: float | None, max_matches: int, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        check_figures(cmc1, map_, minp, max_matches=max_matches)


@pytest.mark.parametrize(
    ("cmc1", "map_", "minp", "max_matches"),
    [
        (0.965, 0.919, None, 2),
        (0.919, 0.965, None, 1),
        (0.5, 0.5, None, 1),
        (0.5 + 5e-10, 0.5, 0.5 - 5e-10, 1),
        (0.5, 0.6, 0.6, 1),
        (0.9, 0.6, 0.3, 10),
        (0.9, 0.6, 0.6, 10),
        (1.0, 1.0, 1.0, 1),
    ],
)
def test_figures_that_a_ranking_can_have_are_taken(
    cmc1: float, map_: float, minp: float | None, max_matches: int
) -> None:
    check_figures(cmc1, map_, minp, max_matches=max_matches)


def check_rankings(rankings: Sequence[Sequence[bool]]) -> None:
    scores = [naive.score_ranking(truths) for truths in rankings]
    check_figures(
        mean([float(one.first_rank == 1) for one in scores]),
        mean([one.average_precision for one in scores]),
        mean([one.inverse_negative_penalty for one in scores]),
        max_matches=max(one.num_matches for one in scores),
    )


rankings_with_one_match = st.lists(st.integers(0, 10).map(lambda rank: [False] * rank + [True]), min_size=1, max_size=5)
rankings_with_matches = st.lists(st.lists(st.booleans(), max_size=8).map(lambda truths: [*truths, True]), min_size=1)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(rankings_with_one_match)
def test_the_figures_of_any_rankings_with_one_match_are_taken(rankings: list[list[bool]]) -> None:
    check_rankings(rankings)


def test_the_figures_of_any_rankings_are_taken() -> None:
    for truths in itertools.product([False, True], repeat=6):
        if any(truths):
            check_rankings([truths])


@settings(derandomize=True, max_examples=100, deadline=None)
@given(rankings_with_matches)
def test_the_mean_figures_of_any_rankings_are_taken(rankings: list[list[bool]]) -> None:
    check_rankings(rankings)


def test_a_network_that_maps_everything_onto_one_point_has_figures() -> None:
    lines: list[tuple[Role, str, str, float]] = [
        ("query", "a", "n", 1), ("gallery", "a", "n", 1), ("gallery", "a", "s", 1), ("gallery", "b", "n", 1),
    ]  # fmt: skip
    assert figures(evaluate_embedded(*greys(*lines))) == pytest.approx((0, (1 / 2 + 2 / 3) / 2, 2 / 3))


def test_an_evaluation_checks_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def check(*figures: float, max_matches: int) -> None:
        checked.append((*figures, max_matches))

    monkeypatch.setattr(evaluation, "check_figures", check)
    result = evaluate_embedded(*greys(*BASE, ("distractor", "", "", 1), ("gallery", "a", "n", 2)))
    assert checked == [(*figures(result), 2)]


def test_matches_are_kept_only_where_they_are_asked_for(pictures: Path) -> None:
    write_manifest(pictures / "kept.csv", random_entries(5), Protocol("Colours"))
    task = plan_task(read_manifest(pictures / "kept.csv"))
    embedded = embed_entries(task.manifest, task.entries, SMALL, mean_colours)
    plain, kept = evaluate_embedded(task, embedded), evaluate_embedded(task, embedded, keep_matches=True)
    assert plain.matches == ()
    assert [int(found.rank[0]) for found in kept.matches] == plain.scores.first_rank.tolist()
    assert [len(found.rank) for found in kept.matches] == plain.scores.num_matches.tolist()
    for one, other in zip(plain.scores, kept.scores, strict=True):
        assert one.tolist() == other.tolist()
