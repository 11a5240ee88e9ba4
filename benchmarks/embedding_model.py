"""A stated model of a network's embeddings, for galleries larger than any that could be photographed here."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class EmbeddingModel:
    """Vehicles are normal around the mean of all, views are normal around their vehicle: x = mean + B z + W e.

    Both covariances are the ones of a sample, whole, so that the model's embeddings have the sample's spectrum; of a
    sample with fewer views than dimensions they lack the rest.
    """

    def __init__(self, embeddings: NDArray[np.float32], identities: Sequence[str]) -> None:
        """Learns from embeddings (N, D) of vehicles with several views each."""
        self._mean = embeddings.mean(axis=0)
        _, of_row, num_views = np.unique(identities, return_inverse=True, return_counts=True)
        vehicles = np.zeros((len(num_views), embeddings.shape[1]), np.float32)
        np.add.at(vehicles, of_row, embeddings)
        vehicles /= num_views[:, None]
        # A row of either is one deviation; a normal mixture of n rows over sqrt(n) has their covariance. NumPy's root
        # would be a float64, and make the embeddings such too.
        self._between = (vehicles - self._mean) / math.sqrt(len(vehicles) - 1)
        within = embeddings - vehicles[of_row]
        within /= math.sqrt(len(embeddings) - len(vehicles))
        # As many deviations as dimensions have the covariance of any number: R of W = QR, because W'W = R'R.
        self._within = np.linalg.qr(within, mode="r") if len(within) > within.shape[1] else within

    def draw(self, num_vehicles: int, num_views: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Embeddings (num_vehicles, num_views, D)."""
        vehicles = rng.standard_normal((num_vehicles, len(self._between)), np.float32) @ self._between
        views = rng.standard_normal((num_vehicles * num_views, len(self._within)), np.float32) @ self._within
        drawn: NDArray[np.float32] = self._mean + vehicles[:, None] + views.reshape(num_vehicles, num_views, -1)
        return drawn
