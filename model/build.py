"""The one place where a configuration becomes a network."""

from model.alignment import kept_columns
from model.baseline import Baseline
from model.compared.am_wtl import AMWTL
from model.compared.cn_nets import CNNets
from model.compared.ram import RAM
from model.compared.scan import SCAN
from model.compared.vscr import VSCR
from model.config import (
    AMWTLConfig,
    BaselineConfig,
    CNNetsConfig,
    NetworkConfig,
    RAMConfig,
    SANetConfig,
    SCANConfig,
    VSCRConfig,
)
from model.normalization import Normalization
from model.preprocessing import Preprocessing
from model.sanet import SANet

Network = SANet | Baseline | RAM | SCAN | VSCR | AMWTL | CNNets


def build_network(config: NetworkConfig, preprocessing: Preprocessing | None = None) -> Network:
    """A network with fresh weights, drawn from torch's global generator.

    Raises:
        ConfigError: an aligned input is to keep more columns than the preprocessed image has.
    """
    preprocessing = preprocessing or Preprocessing()
    normalization = build_normalization(preprocessing)
    match config:
        case SANetConfig():
            if config.aligned == "input":
                kept_columns(config, preprocessing.size_px)
            return SANet(config, normalization)
        case BaselineConfig():
            return Baseline(config, normalization)
        case RAMConfig():
            return RAM(config, normalization)
        case SCANConfig():
            return SCAN(config, normalization)
        case VSCRConfig():
            return VSCR(config, normalization)
        case AMWTLConfig():
            return AMWTL(config, normalization)
        case CNNetsConfig():
            return CNNets(config, normalization)


def build_normalization(preprocessing: Preprocessing) -> Normalization:
    """The part of the preprocessing that the network does itself."""
    return Normalization(preprocessing.mean, preprocessing.std)
