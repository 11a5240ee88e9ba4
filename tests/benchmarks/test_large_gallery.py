import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.embedding_model import EmbeddingModel
from benchmarks.large_gallery.clients import measure_clients
from benchmarks.large_gallery.costs import fill, measure_deletions, measure_opening
from benchmarks.large_gallery.drawn_records import MODEL, batches, place_of
from benchmarks.watched_lock import watched_locks
from index.embedded.opening import open_gallery
from index.gallery.filters import Filter
from index.gallery.record import record_id

DIM = 8


def small_model() -> EmbeddingModel:
    sample = np.random.default_rng(0).standard_normal((40, DIM)).astype(np.float32)
    return EmbeddingModel(sample, [str(i // 4) for i in range(40)])


def test_a_filled_gallery_has_each_number_once_and_a_second_run_adds_what_is_missing(tmp_path: Path) -> None:
    with closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        assert fill(gallery, small_model(), 200)["enrol_late_to_early"] > 0
        assert fill(gallery, small_model(), 300) == {}
        assert gallery.stats(0).total == gallery.num_searchable == 300
        for number in (0, 199, 200, 299):
            assert gallery.get(record_id(*place_of(number))).fields.identity == f"vehicle {number // 5}"


def test_views_of_a_frame_are_whole_embeddings_of_the_model() -> None:
    # Of one dimension that is all: the sum of a row is its mean times D only where rows were not mixed.
    sample = np.repeat(np.linspace(-1, 1, 40, dtype=np.float32)[:, None], DIM, axis=1)
    model = EmbeddingModel(sample, [str(i // 4) for i in range(40)])
    (batch,) = batches(model, 0, 64, 0)
    embeddings = np.stack([one.record.embedding for one in batch])
    np.testing.assert_allclose(embeddings, np.repeat(embeddings[:, :1], DIM, axis=1), atol=1e-5)
    assert embeddings[:, 0].std() > 0.1


def test_deletions_and_clients_leave_the_gallery_as_it_was(tmp_path: Path) -> None:
    model = small_model()
    with watched_locks() as waits, closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        fill(gallery, model, 256)
        assert (
            0 < measure_deletions(gallery, 256)["delete_ms"] <= measure_deletions(gallery, 256)["delete_longest_ms"] * 9
        )
        found = measure_clients(gallery, model, waits, 0.01)
        assert found["errors"] == {}
        assert {"search", "search by camera", "search by identity", "enrol 8", "update", "delete"} == found[
            "calls"
        ].keys()
        assert gallery.page(Filter(), 1, None).total == 256


def test_opening_reads_every_file_of_records(tmp_path: Path) -> None:
    with closing(open_gallery(tmp_path, MODEL, DIM)) as gallery:
        fill(gallery, small_model(), 64)
    found = measure_opening(tmp_path, DIM, 1)
    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file() and "images" not in path.parts)
    assert found["file_bytes"] == sizes > 0
    assert found["open_s"] > 0


def test_a_watched_lock_says_how_long_a_kind_of_thread_waited() -> None:
    with watched_locks() as waits:
        lock = threading.Lock()
    with lock:
        waiting = threading.Thread(target=lambda: lock.acquire(), name="reader-3")
        waiting.start()
        time.sleep(0.05)
    waiting.join()
    assert waits.longest_s.keys() == {"reader"}
    assert waits.longest_s["reader"] >= 0.04
