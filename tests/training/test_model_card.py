from types import SimpleNamespace
from typing import Any, cast

import pytest

from index.calibration.calibration import Calibration
from model.checkpoint import ModelCard
from model.config import BaselineConfig, NetworkConfig, RAMConfig, SANetConfig
from model.preprocessing import Preprocessing
from training.model_card import model_card

EVALUATION: dict[str, Any] = {
    "cmc": {"1": 0.5}, "map": 0.6, "intervals": {"cmc1": [0.4, 0.6]}, "dataset": "synth", "split": "test",
    "num_queries": 8, "num_gallery": 2,
}  # fmt: skip
CALIBRATION = cast(
    Calibration,
    SimpleNamespace(fitted_on={"data": "others", "num_vehicles": 3, "num_images": 9}, measured={"sizes": []}),
)


def lines_of(config: NetworkConfig, **training: Any) -> list[str]:
    card = ModelCard(config, Preprocessing(64), "f1", {"trained": True, "data": "synth", **training}, None, None)
    return model_card("new.safetensors", 10**6, card, EVALUATION, CALIBRATION).splitlines()


@pytest.mark.parametrize(
    ("config", "network"),
    [
        (SANetConfig("resnet18", num_parts=4), "SANet, M = 4, resnet18"),
        (BaselineConfig("resnet50"), "baseline, resnet50"),
        (RAMConfig("resnet34"), "ram, resnet34"),
    ],
)
def test_it_says_which_network_it_is(config: NetworkConfig, network: str) -> None:
    lines = lines_of(config)
    assert f"| network | {network}, 64 × 64 pixels |" in lines
    assert not any("annotations" in line for line in lines)


def test_it_says_what_a_method_learned_from_and_did_without() -> None:
    lines = lines_of(RAMConfig("resnet18"), annotations={"used": ["type"], "missing": ["colour"]})
    assert "| learned from annotations | type; the data lacks: colour |" in lines
    lines = lines_of(RAMConfig("resnet18"), annotations={"used": ["type", "colour"], "missing": []})
    assert "| learned from annotations | type, colour; the data lacks: none |" in lines
