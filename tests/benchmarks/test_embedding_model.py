import numpy as np

from benchmarks.embedding_model import EmbeddingModel


def test_drawn_embeddings_have_the_mean_and_the_covariances_of_the_sample() -> None:
    rng = np.random.default_rng(0)
    between, within = np.diag([3.0, 1.0, 0.1]), np.diag([0.2, 0.5, 0.3])
    vehicles = 7 + rng.standard_normal((400, 1, 3)) @ between
    sample = (vehicles + rng.standard_normal((400, 5, 3)) @ within).astype(np.float32)
    names = [f"vehicle {vehicle}" for vehicle in range(400) for _ in range(5)]
    drawn = EmbeddingModel(sample.reshape(-1, 3), names).draw(5000, 4, rng)
    assert drawn.shape == (5000, 4, 3)
    assert drawn.dtype == np.float32
    of_views = sample.var(axis=1, ddof=1).mean(axis=0)
    of_vehicles = sample.mean(axis=1).var(axis=0, ddof=1)
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), sample.mean(axis=(0, 1)), atol=0.15)
    np.testing.assert_allclose(drawn.var(axis=1, ddof=1).mean(axis=0), of_views, rtol=0.1)
    np.testing.assert_allclose(drawn.var(axis=(0, 1)), of_vehicles + of_views, rtol=0.1)
