from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.embeddings import Embeddings
from service.jobs.kinds.stored_batches import StoredBatches


def images(seed: int, num: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (num, 4, 4, 3), np.uint8)


def embeddings(seed: int, num: int = 3) -> Embeddings:
    rng = np.random.default_rng(1000 + seed)
    return Embeddings(rng.normal(size=(num, 5)).astype(np.float32), rng.normal(size=(num, 2, 3)).astype(np.float32))


def ask(path: Path, seeds: list[int], computed_by: str = "model") -> list[int]:
    """Asks for these batches in this order; which of them were computed."""
    computed: list[int] = []

    def embed(seed: int) -> Embeddings:
        computed.append(seed)
        return embeddings(seed)

    with StoredBatches(path, computed_by) as batches:
        for seed in seeds:
            found = batches.get(images(seed), lambda seed=seed: embed(seed))  # type: ignore[misc]
            assert np.array_equal(found.embedding, embeddings(seed).embedding)
            assert np.array_equal(found.theta, embeddings(seed).theta)
    return computed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batches"


def test_what_is_stored_is_not_computed_again(path: Path) -> None:
    assert ask(path, [0, 1]) == [0, 1]
    assert ask(path, [0, 1, 2]) == [2]
    assert ask(path, [0, 1, 2, 3]) == [3]


@pytest.mark.parametrize("num_bytes_lost", [1, 50, 131, 132, 200, 263])
def test_what_a_kill_has_left_half_written_is_computed_again(path: Path, num_bytes_lost: int) -> None:
    ask(path, [0, 1])
    data = path.read_bytes()
    assert len(data) == 2 * (32 + 8 + 32 + 4 * 3 * (5 + 6))
    path.write_bytes(data[:-num_bytes_lost])
    assert ask(path, [0, 1, 2]) == ([1, 2] if num_bytes_lost <= len(data) // 2 else [0, 1, 2])
    assert ask(path, [0, 1, 2]) == []


def test_what_rotted_or_is_of_other_images_or_another_model_is_computed_again(path: Path) -> None:
    ask(path, [0, 1, 2])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert ask(path, [0, 1, 2]) == [1, 2]
    assert ask(path, [0, 7, 2]) == [7, 2]
    assert ask(path, [0, 7, 2], "another model") == [0, 7, 2]
    assert ask(path, [0, 7, 2], "another model") == []


def test_the_batch_that_fails_is_not_stored(path: Path) -> None:
    def fail() -> Embeddings:
        raise OSError("gone")

    ask(path, [0])
    with StoredBatches(path, "model") as batches:
        batches.get(images(0), fail)
        with pytest.raises(OSError, match="gone"):
            batches.get(images(1), fail)
    assert ask(path, [0, 1]) == [1]
