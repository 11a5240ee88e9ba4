"""Protocols in which chance picks an image of each identity: the figures are the mean over the draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol, ProtocolError
from index.datasets.task import plan_task
from index.ranking.evaluation import evaluate
from model.embeddings import Embeddings
from model.image import encode_image
from model.preprocessing import Preprocessing

_DRAWS = ["0 2", "1", "", "2", "0", "1"]


def manifest(folder: Path, drawn_role: str = "gallery") -> Manifest:
    """Two identities of three views each, which are mere noise; three draws; and an image to train on."""
    entries = [Entry("train.png", "z", role="train", split="train", further={"draws": ""})]
    rng = np.random.default_rng(0)
    for number, draws in enumerate(_DRAWS):
        view = rng.integers(0, 256, (32, 32, 3), np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(view, "PNG"))
        entries.append(Entry(f"{number}.png", "ab"[number // 3], split="test", further={"draws": draws}))
    protocol = Protocol(dataset="drawn", num_draws=3, drawn_role=drawn_role)  # type: ignore[arg-type]
    return Manifest(folder, tuple(entries), protocol)


def few_pixels(images: NDArray[np.uint8]) -> Embeddings:
    few = images[:, ::16, ::16].reshape(len(images), -1).astype(np.float32)
    return Embeddings(few, np.zeros((len(images), 2, 3), np.float32))


def test_each_draw_has_its_own_roles(tmp_path: Path) -> None:
    task = plan_task(manifest(tmp_path))
    galleries = [[entry.path for entry in draw.gallery] for draw in (task, *task.further_draws)]
    assert galleries == [["0.png", "4.png"], ["1.png", "5.png"], ["0.png", "3.png"]]
    assert [len(draw.queries) for draw in (task, *task.further_draws)] == [4, 4, 4]


def test_the_drawn_image_may_be_the_query_as_well(tmp_path: Path) -> None:
    task = plan_task(manifest(tmp_path, "query"))
    assert [entry.path for entry in task.queries] == ["0.png", "4.png"]
    assert len(task.gallery) == 4


def test_the_figures_are_the_mean_over_the_draws(tmp_path: Path) -> None:
    task = plan_task(manifest(tmp_path))
    whole = evaluate(task, Preprocessing(32), few_pixels)
    single = [
        evaluate(replace(draw, further_draws=()), Preprocessing(32), few_pixels) for draw in (task, *task.further_draws)
    ]
    assert len({result.map for result in single}) > 1
    for rank in (1, 2):
        assert whole.cmc(rank) == pytest.approx(np.mean([result.cmc(rank) for result in single]))
    assert whole.map == pytest.approx(np.mean([result.map for result in single]))
    assert whole.minp == pytest.approx(np.mean([result.minp for result in single]))
    assert whole.to_dict()["num_draws"] == 3
    low, high = whole.intervals["map"]
    assert low <= whole.map <= high


def test_every_image_is_embedded_once(tmp_path: Path) -> None:
    counts: list[int] = []

    def counting(images: NDArray[np.uint8]) -> Embeddings:
        counts.append(len(images))
        return few_pixels(images)

    task = plan_task(manifest(tmp_path))
    evaluate(task, Preprocessing(32), counting)
    assert sum(counts) == len(task.entries) == 6


def test_other_draws_are_another_data_set(tmp_path: Path) -> None:
    drawn = manifest(tmp_path)
    moved = replace(drawn, entries=(*drawn.entries[:-1], replace(drawn.entries[-1], further={"draws": "0 1"})))
    moved = replace(
        moved, entries=tuple(replace(e, further={"draws": "1"}) if e.path == "4.png" else e for e in moved.entries)
    )
    fingerprints = {
        evaluate(plan_task(one), Preprocessing(32), few_pixels).dataset_fingerprint for one in (drawn, moved)
    }
    assert len(fingerprints) == 2


def test_without_the_column_nothing_is_drawn(tmp_path: Path) -> None:
    drawn = manifest(tmp_path)
    plain = replace(drawn, entries=tuple(replace(entry, further={}) for entry in drawn.entries))
    with pytest.raises(ProtocolError, match="no line of the manifest has the role query"):
        plan_task(plain)
