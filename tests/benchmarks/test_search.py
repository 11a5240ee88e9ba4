from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from benchmarks import search as benchmark
from benchmarks.embedding_model import EmbeddingModel
from index.embedded.search.record_columns import RecordColumns
from index.embedded.search.row_blocks import RowBlocks


def sample() -> tuple[Any, Any]:
    """Embeddings of 80 vehicles with three views each."""
    rng = np.random.default_rng(0)
    vehicles = np.repeat(rng.standard_normal((80, 24), np.float32), 3, axis=0)
    views = vehicles + np.float32(0.1) * rng.standard_normal((240, 24), np.float32)
    return views, np.array([f"vehicle {number // 3:02}" for number in range(240)])


@pytest.mark.parametrize("kind", ["real", "model", "noise"])
def test_galleries_are_float32_and_every_answer_is_exact(kind: str) -> None:
    rng = np.random.default_rng(1)
    embeddings, identities = sample()
    gallery = {
        "real": lambda: benchmark.of_data(embeddings, identities, rng),
        "model": lambda: benchmark.of_model(EmbeddingModel(embeddings, identities.tolist()), 500, rng),
        "noise": lambda: benchmark.of_noise(300, 24, rng),
    }[kind]()
    assert gallery.name == kind
    assert gallery.rows.dtype == gallery.queries.dtype == np.float32
    assert gallery.queries.shape == (64, 24)
    with tqdm(disable=True) as bar:
        rows = benchmark.measure_gallery(gallery, 2, bar)
    engines = ["ours", "IndexFlatL2", "NumPy product", "one read", *benchmark.FILTERS]
    assert [row["engine"] for row in rows] == engines
    assert {row["num_rows"] for row in rows} == {len(gallery.rows)}
    assert all(row["one_ms"] > 0 and row["batch_ms"] > 0 for row in rows)
    assert rows[0]["exact"]


def test_filters_let_pass_what_they_say() -> None:
    columns = RecordColumns()
    columns.put(0, benchmark._drawn_fields(50_000))
    shares = [columns.passing(where).mean() for where in benchmark.FILTERS.values()]
    assert shares == pytest.approx([0.01, 0.5], rel=0.1)


def test_the_headline_names_the_slowest_filter() -> None:
    took = {"ours": 4.0, "IndexFlatL2": 8.0, "NumPy product": 1.0, "one read": 2.0} | dict.fromkeys(
        benchmark.FILTERS, 3.0
    )
    rows = [
        {"gallery": "model", "num_rows": 100_000, "engine": name, "one_ms": ms, "batch_ms": ms, "exact": True}
        for name, ms in took.items()
    ]
    assert benchmark._headline(rows)["filter_slowdown_100k"] == 0.75
    rows[-1]["batch_ms"] = 5.0
    headline = benchmark._headline(rows)
    assert (headline["filter_slowdown_100k"], headline["speedup_vs_flat_100k"]) == (1.25, 2.0)
    assert benchmark._headline(rows[:1])["filter_slowdown_100k"] is None


def test_half_of_the_queries_have_no_vehicle_in_the_gallery() -> None:
    embeddings, identities = sample()
    gallery = benchmark.of_data(embeddings, identities, np.random.default_rng(1))
    assert len(gallery.rows) == 240 - 32 - 32 * 3
    distances = np.linalg.norm(gallery.rows[:, None] - gallery.queries, axis=2).min(axis=0)
    assert np.count_nonzero(distances < 2) == 32


def test_an_answer_that_is_not_exact_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = benchmark.of_noise(300, 24, np.random.default_rng(1))
    search = RowBlocks.search

    def next_ones(self: RowBlocks, queries: Any, top_k: int, passing: Any = None) -> Any:
        found = search(self, queries, top_k + 1, passing)
        return [one._replace(seq=one.seq[1:], distance=one.distance[1:]) for one in found]

    monkeypatch.setattr(RowBlocks, "search", next_ones)
    with tqdm(disable=True) as bar:
        assert not benchmark.measure_gallery(gallery, 1, bar)[0]["exact"]
