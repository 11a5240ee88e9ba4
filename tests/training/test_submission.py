from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.datasets.manifest import Entry, Manifest
from index.datasets.protocol import Protocol, ProtocolError
from index.ranking.reranking import Refinement, Reranking, rerank
from model.embeddings import Embeddings
from model.image import encode_image
from model.preprocessing import Preprocessing
from tests.conftest import picture
from training.submission import write_submission


def embed(images: NDArray[np.uint8]) -> Embeddings:
    few = images[:, ::8, ::8].reshape(len(images), -1).astype(np.float32)
    return Embeddings(few, np.zeros((len(images), 2, 3), np.float32))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(encode_image(picture(number, 32, 32), "PNG"))
    entries = [
        Entry(f"{n}.png", role="query" if n in (5, 2) else "gallery", split="test") for n in (5, 7, 0, 2, 1, 6, 3, 4)
    ]
    return Manifest(tmp_path, tuple(entries), Protocol())


def test_a_line_per_query_in_order_with_positions_nearest_first(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "lists.txt"
    assert write_submission(out, manifest, "test", Preprocessing(32), embed) == 2
    vectors = {number: embed(picture(number, 32, 32)[None]).embedding[0] for number in range(8)}
    gallery = [7, 0, 1, 6, 3, 4]
    expected = [
        sorted(range(6), key=lambda place, q=query: float(np.linalg.norm(vectors[gallery[place]] - vectors[q])))  # type: ignore[misc]
        for query in (5, 2)
    ]
    assert [[int(number) for number in line.split()] for line in out.read_text().splitlines()] == expected


def test_it_may_be_re_ranked(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "lists.txt"
    write_submission(out, manifest, "test", Preprocessing(32), embed, Refinement(reranking=Reranking(2, 2)))
    vectors = [embed(picture(number, 32, 32)[None]).embedding for number in (5, 2, 7, 0, 1, 6, 3, 4)]
    (final,) = rerank(np.concatenate(vectors[:2]), np.concatenate(vectors[2:]), Reranking(2, 2))
    expected = np.argsort(final, axis=1, kind="stable").tolist()
    assert [[int(number) for number in line.split()] for line in out.read_text().splitlines()] == expected


def test_a_split_without_queries_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="0 query and 0 gallery"):
        write_submission(tmp_path / "lists.txt", manifest, "val", Preprocessing(32), embed)
    assert not (tmp_path / "lists.txt").exists()
