from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.heading_agreement import heading_agreement
from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol
from index.datasets.task import Task, plan_task
from model.alignment import theta_of_turn


def task_of(queries: list[str], gallery: list[str]) -> Task:
    entries = [Entry(f"q{i}", name, role="query") for i, name in enumerate(queries)]
    entries += [Entry(f"g{i}", name, role="gallery") for i, name in enumerate(gallery)]
    return plan_task(Manifest(Path(), tuple(entries), Protocol()))


def thetas_of(turns_deg: list[float]) -> np.ndarray:
    return theta_of_turn(torch.deg2rad(torch.tensor(turns_deg))).numpy()


def test_turns_are_sorted_by_how_they_differ_and_the_likest_view_counts() -> None:
    task = task_of(["a", "a", "b", "b", "b"], ["a", "a", "b"])
    queries = [100.0, -170.0, 10.0, 175.0, 80.0]
    gallery = [-80.0, 115.0, -5.0]  # a's second view is turned as its first query is
    found = heading_agreement(task, thetas_of(queries + gallery), np.array([1, 2, 1, 1, 7]))
    assert found is not None
    # a: 15 and 75 apart; b: 15, 180 and 85.
    assert {name: group["share"] for name, group in found.items()} == pytest.approx(
        {"same": 0.4, "opposite": 0.2, "other": 0.4}
    )
    assert {name: group["cmc1"] for name, group in found.items()} == {"same": 1.0, "opposite": 1.0, "other": 0.0}


def test_a_group_of_nobody_has_no_cmc() -> None:
    found = heading_agreement(task_of(["a"], ["a"]), thetas_of([30.0, 30.0]), np.array([1]))
    assert found == {
        "same": {"share": 1.0, "cmc1": 1.0},
        "opposite": {"share": 0.0, "cmc1": None},
        "other": {"share": 0.0, "cmc1": None},
    }


def test_where_nothing_is_aligned_nothing_can_agree() -> None:
    identity = np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))
    assert heading_agreement(task_of(["a"], ["a"]), identity, np.array([1])) is None
