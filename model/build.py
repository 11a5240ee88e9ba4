"""The one place where a configuration becomes a network."""

from model.baseline import Baseline
from model.config import NetworkConfig, SANetConfig
from model.normalization import Normalization
from model.preprocessing import Preprocessing
from model.sanet import SANet

Network = SANet | Baseline


def build_network(config: NetworkConfig, preprocessing: Preprocessing | None = None) -> Network:
    """A network with fresh weights, drawn from torch's global generator."""
    normalization = build_normalization(preprocessing or Preprocessing())
    if isinstance(config, SANetConfig):
        return SANet(config, normalization)
    return Baseline(config, normalization)


def build_normalization(preprocessing: Preprocessing) -> Normalization:
    """The part of the preprocessing that the network does itself."""
    return Normalization(preprocessing.mean, preprocessing.std)
