import numpy as np

from index.calibration.trials import Vehicles


def drawn_vehicles(num_vehicles: int, num_crops: int, noise: float, seed: int, dim: int = 16) -> Vehicles:
    """Vehicles as points, and their crops as points around them; each crop is an image of its own."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(num_vehicles), num_crops)
    embedding = rng.standard_normal((num_vehicles, dim))[identity] + noise * rng.standard_normal((len(identity), dim))
    everything = np.ones(len(identity), np.bool)
    return Vehicles(embedding.astype(np.float32), identity, np.arange(len(identity)), everything, everything)
