"""Both files that are made of an evaluation's queries, against naive loops over made-up embeddings."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.datasets.bulk_embedding import EmbeddedEntries
from index.datasets.manifest import Entry, Manifest, Role
from index.datasets.protocol import CameraRule, Protocol
from index.datasets.task import Task, plan_task
from index.ranking.evaluation import Evaluation, evaluate_embedded
from index.ranking.reranking import Refinement, Reranking
from model.box import Box
from training.evaluation_arrays import evaluation_arrays, write_evaluation_arrays
from training.query_table import COLUMNS, write_query_table


def entry(number: int, identity: str, role: Role | None, camera: str = "", **further: Any) -> Entry:
    return Entry(f"{number}.png", identity, camera, role, "test", **further)


def planned(entries: list[Entry], protocol: Protocol | None = None, folder: Path = Path("nowhere")) -> Task:
    return plan_task(Manifest(folder, tuple(entries), protocol or Protocol("made up"), ()))


def embedded(task: Task, seed: int = 0, dim: int = 4) -> EmbeddedEntries:
    """Few places, so that many images are equally distant."""
    rng = np.random.default_rng(seed)
    num = len(task.entries)
    vectors = rng.integers(0, 2, (num, dim)).astype(np.float32)
    return EmbeddedEntries(vectors, rng.random((num, 2, 3), np.float32), [f"{i:064}" for i in range(num)])


def random_entries(seed: int) -> list[Entry]:
    rng = np.random.default_rng(seed)
    roles: list[Role] = ["query", "gallery", "gallery", "distractor"]
    entries = []
    for number in range(60):
        role = roles[rng.integers(4)]
        identity = "" if role == "distractor" and number % 2 else str(rng.choice(list("abcdef")))
        entries.append(entry(number, identity, role, str(rng.choice(["n", "s"])), box=Box(number, 1, 9, 9)))
    return entries


class Named:
    """One query of an NPZ file, by the paths of its images."""

    def __init__(self, arrays: dict[str, NDArray[Any]], query: int) -> None:
        own = slice(arrays["match_start"][query], arrays["match_start"][query + 1])
        self.path = str(arrays["path"][arrays["query_row"][query]])
        self.matches = arrays["path"][arrays["match_row"][own]].tolist()
        self.ranks = arrays["match_rank"][own].tolist()
        self.distances = arrays["match_distance"][own].tolist()
        row = int(arrays["other_row"][query])
        self.other = None if row == -1 else str(arrays["path"][row])
        self.other_distance = float(arrays["other_distance"][query])


def naive_ranking(
    task: Task, vectors: dict[str, list[float]], query: Entry
) -> tuple[list[tuple[float, str, int]], tuple[float, str] | None]:
    """(distance, path, rank) of each true match and (distance, path) of the nearest other, by sorting the gallery."""
    ranked = []
    for place, image in enumerate(task.gallery):
        true = image.role == "gallery" and image.identity == query.identity
        if true and task.camera_rule == "same_camera" and image.camera == query.camera:
            continue
        ranked.append((math.dist(vectors[query.path], vectors[image.path]), true, place, image.path))
    ranked.sort()
    others = [(distance, path) for distance, true, _, path in ranked if not true]
    return (
        [(distance, path, rank) for rank, (distance, true, _, path) in enumerate(ranked, 1) if true],
        others[0] if others else None,
    )


@pytest.mark.parametrize("rule", ["none", "same_camera"])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_and_distances_are_those_of_a_naive_loop(seed: int, rule: CameraRule, tmp_path: Path) -> None:
    task = planned(random_entries(seed), Protocol("made up", rule))
    found = embedded(task, seed)
    evaluation = evaluate_embedded(task, found, keep_matches=True)
    vectors = {image.path: found.embedding[row].tolist() for row, image in enumerate(task.entries)}
    write_evaluation_arrays(tmp_path / "a.npz", evaluation, found, {"map": 0.5})
    write_query_table(tmp_path / "a.csv", evaluation)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = dict(file)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(arrays["query_row"]) == len(task.queries) == len(rows) > 5
    identity_of = {image.path: image.identity for image in task.entries}
    for number, query in enumerate(task.queries):
        matches, other = naive_ranking(task, vectors, query)
        named = Named(arrays, number)
        assert named.path == query.path
        assert (named.matches, named.ranks) == ([path for _, path, _ in matches], [rank for _, _, rank in matches])
        assert named.distances == pytest.approx([distance for distance, _, _ in matches], rel=1e-6)
        assert other is not None
        assert named.other == other[1]
        assert named.other_distance == pytest.approx(other[0], rel=1e-6)
        row = rows[number]
        assert (row["query"], row["box"], row["identity"]) == (query.path, str(query.box), query.identity)
        assert (row["draw"], row["rank"], row["match"]) == ("0", str(matches[0][2]), matches[0][1])
        assert float(row["distance"]) == pytest.approx(matches[0][0], rel=1e-6)
        assert (row["other"], row["other_identity"]) == (other[1], identity_of[other[1]])
        assert float(row["other_distance"]) == pytest.approx(other[0], rel=1e-6)
    assert evaluation.scores.first_rank.tolist() == [int(row["rank"]) for row in rows]


def test_the_entries_come_with_all_that_is_known_of_them() -> None:
    entries = [
        entry(0, "a", "query", "n"), entry(1, "a", "gallery", "s", box=Box(1, 2, 30, 40)), entry(2, "b", "gallery"),
        entry(3, "", "distractor"),
    ]  # fmt: skip
    task = planned(entries)
    found = embedded(task)
    arrays = evaluation_arrays(evaluate_embedded(task, found, keep_matches=True), found, {"cmc": {"1": 0.25}})
    assert arrays["embedding"].tolist() == found.embedding.tolist()
    assert arrays["theta"].tolist() == found.theta.tolist()
    assert arrays["path"].tolist() == ["0.png", "1.png", "2.png", "3.png"]
    assert arrays["box"].tolist() == ["", "1,2,30,40", "", ""]
    assert arrays["identity"].tolist() == ["a", "a", "b", ""]
    assert arrays["camera"].tolist() == ["n", "s", "", ""]
    assert arrays["role"].tolist() == ["query", "gallery", "gallery", "distractor"]
    assert arrays["sha256"].tolist() == found.content
    assert json.loads(str(arrays["figures"])) == {"cmc": {"1": 0.25}}
    assert {name: array.dtype for name, array in arrays.items() if array.dtype.kind != "U"} == {
        "embedding": np.float32, "theta": np.float32, "match_distance": np.float32, "other_distance": np.float32,
        **dict.fromkeys(("query_row", "query_draw", "match_start", "match_row", "match_rank", "other_row"), np.int64),
    }  # fmt: skip


def test_each_draw_of_a_protocol_with_chance_has_its_own_queries(tmp_path: Path) -> None:
    # Three images of each vehicle; the gallery's is the first in one draw and the second in the other.
    drawn = {0: "0", 1: "1", 2: ""}
    entries = [
        entry(10 * vehicle + view, "abc"[vehicle], None, further={"draws": drawn[view]})
        for vehicle in range(3)
        for view in range(3)
    ]
    task = planned(entries, Protocol("made up", num_draws=2, drawn_role="gallery"))
    found = embedded(task, dim=16)
    evaluation = evaluate_embedded(task, found, keep_matches=True)
    arrays = evaluation_arrays(evaluation, found, {})
    assert arrays["query_draw"].tolist() == [0] * 6 + [1] * 6
    queries = arrays["path"][arrays["query_row"]].tolist()
    assert queries == [f"{10 * v + view}.png" for draw in (0, 1) for v in range(3) for view in range(3) if view != draw]
    matches = arrays["path"][arrays["match_row"]].tolist()
    assert matches == [f"{10 * v + draw}.png" for draw in (0, 1) for v in range(3) for _ in range(2)]
    write_query_table(tmp_path / "a.csv", evaluation)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["draw"], row["query"], row["match"]) for row in rows] == [
        (str(draw), query, match)
        for draw, query, match in zip(arrays["query_draw"].tolist(), queries, matches, strict=True)
    ]


def test_where_there_is_no_other_vehicle_its_fields_are_empty(tmp_path: Path) -> None:
    task = planned([entry(0, "a", "query"), entry(1, "a", "gallery")])
    found = embedded(task)
    evaluation = evaluate_embedded(task, found, keep_matches=True)
    arrays = evaluation_arrays(evaluation, found, {})
    assert (arrays["other_row"].tolist(), arrays["other_distance"].tolist()) == ([-1], [float("inf")])
    write_query_table(tmp_path / "a.csv", evaluation)
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines())
    assert (row["rank"], row["other"], row["other_identity"], row["other_distance"]) == ("1", "", "", "")


def test_of_reranked_queries_ranks_and_distances_are_the_reranked_ones() -> None:
    task = planned(random_entries(3))
    found = embedded(task, 3)
    plain = evaluate_embedded(task, found, keep_matches=True)
    reranked = evaluate_embedded(task, found, Refinement(0, Reranking(4, 2, 0.3)), keep_matches=True)
    arrays = evaluation_arrays(reranked, found, {})
    assert [int(one.rank[0]) for one in reranked.matches] == reranked.scores.first_rank.tolist()
    assert arrays["match_rank"][arrays["match_start"][:-1]].tolist() == reranked.scores.first_rank.tolist()
    assert 0 <= arrays["match_distance"].min() <= arrays["match_distance"].max() <= 1
    assert arrays["match_rank"].tolist() != evaluation_arrays(plain, found, {})["match_rank"].tolist()


@pytest.mark.parametrize("name", ['a "b",c.png', "line\rbreak.png", "zwei\nlines.png", "\udcff.png", "車.png", "=1+1"])
def test_any_file_name_comes_back(name: str, tmp_path: Path) -> None:
    images = [Entry(name, "a", "", "query", "test"), entry(1, "a", "gallery"), entry(2, "b", "gallery")]
    task = planned(images)
    found = embedded(task)
    evaluation: Evaluation = evaluate_embedded(task, found, keep_matches=True)
    write_query_table(tmp_path / "a.csv", evaluation)
    write_evaluation_arrays(tmp_path / "a", evaluation, found, {})
    with (tmp_path / "a.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, row = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert row[0] == name
    with np.load(tmp_path / "a", allow_pickle=False) as file:
        assert file["path"].tolist()[0] == name
