"""The one place where a configuration becomes a network."""

from model.alignment import kept_columns
from model.baseline import Baseline
from model.config import BaselineConfig, NetworkConfig
from model.normalization import Normalization
from model.preprocessing import Preprocessing
from model.sanet import SANet

Network = SANet | Baseline


def build_network(config: NetworkConfig, preprocessing: Preprocessing | None = None) -> Network:
    """A network with fresh weights, drawn from torch's global generator.

    Raises:
        ConfigError: an aligned input is to keep more columns than the preprocessed image has.
    """
    preprocessing = preprocessing or Preprocessing()
    normalization = build_normalization(preprocessing)
    if isinstance(config, BaselineConfig):
        return Baseline(config, normalization)
    if config.aligned == "input":
        kept_columns(config, preprocessing.size_px)
    return SANet(config, normalization)


def build_normalization(preprocessing: Preprocessing) -> Normalization:
    """The part of the preprocessing that the network does itself."""
    return Normalization(preprocessing.mean, preprocessing.std)
