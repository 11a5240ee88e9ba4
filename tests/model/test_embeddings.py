import numpy as np
import pytest

from model.embeddings import Embeddings, largest_difference


def test_differences_are_found() -> None:
    one = Embeddings(np.array([[3.0, 4.0]], np.float32), np.zeros((1, 2, 3), np.float32))
    assert largest_difference(one, one) == 0
    assert largest_difference(one, one._replace(embedding=np.array([[3.0, 4.5]], np.float32))) == pytest.approx(0.1)
    assert largest_difference(one, one._replace(theta=one.theta + np.float32(0.25))) == 0.25
    assert np.isnan(largest_difference(one, one._replace(theta=one.theta + np.float32("nan"))))
    assert np.isnan(largest_difference(one, one._replace(embedding=one.embedding * np.float32("nan"))))
    assert largest_difference(one, one._replace(embedding=np.ones((2, 2), np.float32))) == np.inf
