import importlib.resources
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.baseline import Baseline
from model.build import build_network
from model.config import BackboneConfig, BaselineConfig, SANetConfig
from model.lite0_weights import PACKAGE, rename
from model.pretrained import LITE0_WEIGHTS, PretrainedError, load_pretrained
from tests.model.test_efficientnet_lite import published_state

LITE0 = BackboneConfig("efficientnet_lite0")


def test_the_names_are_those_of_trunk_and_layer4_and_nothing_is_left() -> None:
    renamed = rename(published_state(seed=0), LITE0)
    with torch.device("meta"):
        network = build_network(BaselineConfig("efficientnet_lite0"))
    assert {name if name.startswith("layer4.") else f"trunk.{name}" for name in renamed} == network.state_dict().keys()


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("_conv_stem.weight", "stem.conv.weight"),
        ("_bn0.running_var", "stem.norm.running_var"),
        ("_blocks.0._depthwise_conv.weight", "stage1.0.depthwise.conv.weight"),
        ("_blocks.2._bn0.bias", "stage2.1.expand.norm.bias"),
        ("_blocks.10._project_conv.weight", "stage5.2.project.conv.weight"),
        ("_blocks.11._bn1.weight", "layer4.stage6.0.depthwise.norm.weight"),
        ("_blocks.15._bn2.weight", "layer4.stage7.0.project.norm.weight"),
        ("_conv_head.weight", "layer4.head.conv.weight"),
        ("_bn1.running_mean", "layer4.head.norm.running_mean"),
    ],
)
def test_each_tensor_has_one_name(published: str, ours: str) -> None:
    assert list(rename({published: torch.zeros(1)}, LITE0)) == [ours]


@pytest.mark.parametrize(
    "name",
    ["_blocks.16._bn2.weight", "_blocks.0._se_reduce.weight", "_bn2.weight", "conv1.weight", "_blocks.00._bn1.bias"],
)
def test_an_unknown_tensor_is_named(name: str, tmp_path: Path) -> None:
    torch.save(published_state(seed=0) | {name: torch.zeros(1)}, tmp_path / "weights.pth")
    network = build_network(BaselineConfig("efficientnet_lite0"))
    with pytest.raises(
        PretrainedError, match=rf"weights.pth: .* no tensor {re.escape(name)}: is it of the same backbone"
    ):
        load_pretrained(network, str(tmp_path / "weights.pth"))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    state = published_state(seed=0)
    del state["_blocks.4._bn1.running_var"]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(PretrainedError, match=r"lacks stage3\.1\.depthwise\.norm\.running_var"):
        load_pretrained(build_network(BaselineConfig("efficientnet_lite0")), str(tmp_path / "weights.pth"))


def test_another_epsilon_is_another_network(tmp_path: Path) -> None:
    torch.save(published_state(seed=0), tmp_path / "weights.pth")
    network = build_network(BaselineConfig("efficientnet_lite0", bn_eps=1e-5))
    with pytest.raises(PretrainedError, match=r"belong to the bn_eps 0\.001, the network has 1e-05"):
        load_pretrained(network, str(tmp_path / "weights.pth"))


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> object:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(importlib.resources, "files", missing)
    with pytest.raises(PretrainedError, match=f"{LITE0_WEIGHTS}: they are in the package {PACKAGE}, which is not inst"):
        load_pretrained(build_network(BaselineConfig("efficientnet_lite0")), LITE0_WEIGHTS)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """The real weights; the test is skipped where their package is not installed."""
    model = pytest.importorskip(PACKAGE)
    state: dict[str, Tensor] = torch.load(model.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return state


def test_every_layer4_gets_the_real_weights(published: dict[str, Tensor]) -> None:
    network = build_network(SANetConfig("efficientnet_lite0"))
    loaded = load_pretrained(network, LITE0_WEIGHTS)
    own = network.state_dict()
    assert loaded == {name for name in own if name.startswith("trunk.") or ".layer4." in name}
    assert torch.equal(own["trunk.stem.conv.weight"], published["_conv_stem.weight"])
    for branch in ("global", "top_down", "left_right"):
        assert torch.equal(own[f"{branch}_branch.layer4.head.conv.weight"], published["_conv_head.weight"])


@pytest.mark.parametrize("shape", [(128, 128), (224, 224), (128, 64)])
def test_the_real_logits_are_those_of_the_port_that_they_come_from(
    shape: tuple[int, int], published: dict[str, Tensor]
) -> None:
    port = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0").eval()
    port.load_state_dict(published)
    network = build_network(BaselineConfig("efficientnet_lite0"))
    assert isinstance(network, Baseline)
    load_pretrained(network, LITE0_WEIGHTS)
    images = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        (features,), _ = network.eval().branch_features(images)
        torch.testing.assert_close(port._fc(features), port(images), rtol=0, atol=1e-4)
