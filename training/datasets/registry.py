"""All data sets of the field that can be read, by the name that ``--dataset`` takes."""

from typing import Final

from training.datasets.market1501 import MARKET1501
from training.datasets.uav_veid import UAV_VEID
from training.datasets.vehicleid import VEHICLEID
from training.datasets.veri776 import VERI776
from training.datasets.veri_wild import VERI_WILD
from training.datasets.vrai import VRAI
from training.datasets.vru import VRU

DATASETS: Final = {
    dataset.name: dataset for dataset in (UAV_VEID, VRAI, VRU, VERI776, VEHICLEID, VERI_WILD, MARKET1501)
}
