import dataclasses
import json
from typing import Any

import pytest

from model.config import (
    Backbone,
    BaselineConfig,
    ConfigError,
    NetworkConfig,
    SANetConfig,
    config_from_dict,
    config_to_dict,
)


@pytest.mark.parametrize(
    ("num_parts", "embedding_dim"), [(0, 512), (1, 1536), (2, 2560), (4, 4608), (6, 6656), (16, 16896)]
)
def test_the_embedding_has_512_numbers_per_part(num_parts: int, embedding_dim: int) -> None:
    assert SANetConfig(num_parts=num_parts).embedding_dim == embedding_dim


def test_the_default_is_the_papers_best() -> None:
    assert dataclasses.asdict(SANetConfig()) == {
        "backbone": "resnet50",
        "stride": "3x3",
        "bn_eps": 1e-5,
        "num_parts": 2,
        "transform": "affine",
        "padding": "zeros",
        "aligned": "map",
        "num_columns": 0,
        "unit_length": False,
    }


CONFIGS: list[NetworkConfig] = [
    SANetConfig(),
    SANetConfig("resnet101", "1x1", 1.001e-5, 6, "similarity", "border"),
    SANetConfig("resnet18", num_parts=16, transform="none", padding="reflection"),
    SANetConfig("resnet18", transform="rotation", aligned="input", unit_length=True),
    SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input"),
    SANetConfig("efficientnet_lite0", transform="rotation", aligned="input", num_columns=6),
    BaselineConfig(),
    BaselineConfig("resnet18", unit_length=True),
    BaselineConfig("resnet34", bn_eps=1e-3),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_is_read_back_from_its_json(config: NetworkConfig) -> None:
    fields = config_to_dict(config)
    assert fields["architecture"] == ("sanet" if isinstance(config, SANetConfig) else "baseline")
    assert {k: v for k, v in fields.items() if k != "architecture"} == dataclasses.asdict(config)
    read = config_from_dict(json.loads(json.dumps(fields)))
    assert read == config
    assert type(read) is type(config)


@pytest.mark.parametrize("kind", [SANetConfig, BaselineConfig])
@pytest.mark.parametrize(
    ("backbone", "bn_eps"), [("resnet18", 1e-5), ("resnet101", 1e-5), ("efficientnet_lite0", 1e-3)]
)
def test_the_epsilon_is_the_backbones_own_unless_another_is_given(
    kind: type[SANetConfig | BaselineConfig], backbone: Backbone, bn_eps: float
) -> None:
    assert kind(backbone).bn_eps == bn_eps
    assert kind(backbone) == kind(backbone, bn_eps=bn_eps) == kind(backbone, bn_eps=0)
    assert config_to_dict(kind(backbone))["bn_eps"] == bn_eps  # the number itself
    assert kind(backbone, bn_eps=1.001e-5).bn_eps == 1.001e-5


def test_what_older_checkpoints_do_not_say_has_its_old_meaning() -> None:
    fields = {"architecture": "sanet", "backbone": "resnet18", "stride": "3x3", "bn_eps": 1e-5, "num_parts": 2}
    assert config_from_dict(fields) == SANetConfig("resnet18")
    aligned = {"aligned": "input", "transform": "rotation", "padding": "zeros", "unit_length": True}
    read = config_from_dict(fields | aligned)
    assert isinstance(read, SANetConfig)
    assert (read.num_columns, read.bn_eps) == (0, 1e-5)


def test_reading_leaves_the_callers_fields_alone() -> None:
    fields = config_to_dict(SANetConfig())
    assert config_from_dict(fields) == SANetConfig()
    assert fields == config_to_dict(SANetConfig())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"backbone": "resnet152"},
            "one of resnet18, resnet34, resnet50, resnet101, efficientnet_lite0; got 'resnet152'",
        ),
        ({"backbone": None}, "backbone must be one of"),
        ({"stride": "2x2"}, "stride must be one of 3x3, 1x1; got '2x2'"),
        ({"stride": "1x1", "backbone": "resnet18"}, "needs bottleneck blocks, resnet18 has none"),
        ({"stride": "1x1", "backbone": "resnet34"}, "needs bottleneck blocks, resnet34 has none"),
        ({"stride": "1x1", "backbone": "efficientnet_lite0"}, "needs bottleneck blocks, efficientnet_lite0 has none"),
        ({"bn_eps": -1e-5}, "bn_eps must lie between 0 and 1, or be 0 for the backbone's own; got -1e-05"),
        ({"bn_eps": 1}, "bn_eps must lie between"),
        ({"bn_eps": float("nan")}, "bn_eps must lie between"),
        ({"bn_eps": "1e-5"}, "bn_eps must lie between 0 and 1, .* got '1e-5'"),
        ({"bn_eps": None}, "bn_eps must lie between 0 and 1, .* got None"),
        ({"bn_eps": False}, "bn_eps must lie between 0 and 1, .* got False"),
        ({"unit_length": "no"}, "unit_length must be true or false, got 'no'"),
        ({"unit_length": 1}, "unit_length must be true or false, got 1"),
        ({"unit_length": None}, "unit_length must be true or false, got None"),
        ({"num_parts": -1}, "num_parts must lie between 0 and 16"),
        ({"num_parts": 17}, "num_parts must lie between 0 and 16"),
        ({"num_parts": "2"}, "num_parts must lie between 0 and 16 .* got '2'"),
        ({"num_parts": 2.5}, "num_parts must lie between"),
        ({"num_parts": True}, "num_parts must lie between"),
        ({"num_columns": 5}, "num_columns are those of an aligned input: use aligned=\"input\", not 'map'"),
        ({"num_columns": -1}, "num_columns must be a whole number of 0 or more, got -1"),
        ({"num_columns": 5.0}, "num_columns must be a whole number of 0 or more, got 5.0"),
        ({"num_columns": True}, "num_columns must be a whole number of 0 or more, got True"),
        ({"aligned": "output"}, "aligned must be one of map, input"),
        ({"aligned": "input"}, 'use the transform "rotation", not affine'),
        ({"aligned": "input", "transform": "none"}, 'use the transform "rotation", not none'),
        ({"transform": "perspective"}, "transform must be one of none, rotation, similarity, affine"),
        ({"padding": "wrap"}, "padding must be one of zeros, border, reflection"),
        ({"margin": 0.3}, "does not fit 'sanet'.*margin"),
        (
            {"architecture": "vit"},
            "architecture must be one of sanet, baseline, ram, scan, vscr, am_wtl, cn_nets; got 'vit'",
        ),
        ({"architecture": None}, "architecture must be one of"),
        ({"architecture": ["sanet"]}, "architecture must be one of"),
        ({"architecture": "baseline"}, "does not fit 'baseline'"),  # it has no parts
    ],
)
def test_what_no_network_has_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config_from_dict(config_to_dict(SANetConfig()) | fields)


def test_the_architecture_must_be_said() -> None:
    with pytest.raises(
        ConfigError, match="architecture must be one of sanet, baseline, ram, scan, vscr, am_wtl, cn_nets; got None"
    ):
        config_from_dict({"backbone": "resnet50"})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SANetConfig().num_parts = 4  # type: ignore[misc]
