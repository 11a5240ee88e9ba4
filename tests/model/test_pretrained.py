import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from model.build import Network, build_network
from model.checkpoint import save_checkpoint
from model.config import BackboneConfig, BaselineConfig, NetworkConfig, SANetConfig
from model.preprocessing import Preprocessing
from model.pretrained import PretrainedError, load_pretrained
from model.resnet import build_trunk

LAYER4 = ("global_branch.layer4", "top_down_branch.layer4", "left_right_branch.layer4")


def noisy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same names and shapes; no number is one that a fresh network would have."""
    return {
        name: torch.rand(tensor.shape) + 2 if tensor.is_floating_point() else torch.tensor(77)
        for name, tensor in state.items()
    }


@pytest.fixture(scope="module")
def resnet18_state() -> dict[str, Tensor]:
    return noisy(torchvision.models.resnet18(weights=None).state_dict())


def empty(config: NetworkConfig) -> Network:
    """A network of which every number is -9, so that a loaded one shows."""
    with torch.device("meta"):
        network = build_network(config)
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(-9)
    return network


def changed(network: Network) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if not (tensor == -9).any()}


def without(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}


def saved(state: Any, path: Path) -> str:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


def check_loaded(network: Network, state: dict[str, Tensor], loaded: frozenset[str], layers: tuple[str, ...]) -> None:
    """Exactly the trunk and these layer4s hold the file's numbers, and the names say so."""
    own = network.state_dict()
    expected = {f"trunk.{name}": name for name in without(state, "layer4.", "fc.")}
    for layer in layers:
        expected |= {f"{layer}.{name.removeprefix('layer4.')}": name for name in state if name.startswith("layer4.")}
    assert loaded == expected.keys() == changed(network)
    for name, source in expected.items():
        assert torch.equal(own[name], state[source]), name


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_file_fills_the_trunk_and_every_layer4(
    suffix: str, resnet18_state: dict[str, Tensor], tmp_path: Path
) -> None:
    network = empty(SANetConfig("resnet18"))
    loaded = load_pretrained(network, saved(resnet18_state, tmp_path / f"weights{suffix}"))
    check_loaded(network, resnet18_state, loaded, LAYER4)


def test_the_baseline_has_one_layer4(resnet18_state: dict[str, Tensor], tmp_path: Path) -> None:
    network = empty(BaselineConfig("resnet18"))
    loaded = load_pretrained(network, saved(resnet18_state, tmp_path / "weights.pth"))
    check_loaded(network, resnet18_state, loaded, ("layer4",))


def test_torchvisions_names_are_read_from_its_cache(
    resnet18_state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    saved(resnet18_state, cache / Path(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url).name)
    network = empty(SANetConfig("resnet18"))
    loaded = load_pretrained(network, "IMAGENET1K_V1")
    check_loaded(network, resnet18_state, loaded, LAYER4)


@pytest.mark.parametrize("kept", [(), ("layer4.0.conv1.", "layer4.0.bn1.")])
def test_a_file_with_part_of_layer4_fills_the_trunk_alone(
    kept: tuple[str, ...], resnet18_state: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {k: v for k, v in resnet18_state.items() if not k.startswith("layer4.") or k.startswith(kept)}
    network = empty(SANetConfig("resnet18"))
    loaded = load_pretrained(network, saved(state, tmp_path / "weights.pth"))
    check_loaded(network, without(state, "layer4."), loaded, ())


def test_the_counters_may_be_missing(resnet18_state: dict[str, Tensor], tmp_path: Path) -> None:
    state = {k: v for k, v in resnet18_state.items() if not k.endswith("num_batches_tracked")}
    network = empty(SANetConfig("resnet18"))
    loaded = load_pretrained(network, saved(state, tmp_path / "weights.pth"))
    check_loaded(network, state, loaded, LAYER4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bn1.running_var": None}, "lacks bn1.running_var: is it of the same backbone?"),
        ({"layer3.1.conv2.weight": None}, "lacks layer3.1.conv2.weight: is"),
        ({"layer2.7.bias": torch.zeros(1)}, "has unknown layer2.7.bias: is"),
        ({"layer4.9.bias": torch.zeros(1)}, "has unknown 9.bias: is"),
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, "has another shape for conv1.weight: is"),
        ({"layer4.1.bn2.bias": torch.zeros(3)}, "has another shape for 1.bn2.bias: is"),
    ],
)
def test_one_wrong_tensor_is_named(
    change: dict[str, Tensor | None], reason: str, resnet18_state: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {k: v for k, v in (resnet18_state | change).items() if v is not None}
    with pytest.raises(PretrainedError, match=re.escape(f"weights.pth {reason}")):
        load_pretrained(empty(SANetConfig("resnet18")), saved(state, tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [("resnet34", "lacks layer1.2"), ("resnet50", "lacks layer1.0.bn3"), ("resnet101", "lacks layer1.0.bn3")],
)
def test_weights_of_another_backbone_are_refused(
    backbone: str, reason: str, resnet18_state: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(PretrainedError, match=rf"{reason}.* and \d+ more: is it of the same backbone\?"):
        load_pretrained(
            empty(BaselineConfig(backbone)),  # type: ignore[arg-type]
            saved(resnet18_state, tmp_path / "weights.safetensors"),
        )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"garbage that is no tensor file"])
def test_an_unreadable_file_is_named(suffix: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PretrainedError, match=f"cannot read the weights {re.escape(str(path))}: "):
        load_pretrained(empty(BaselineConfig("resnet18")), str(path))


class Trap:
    """Unpickling it would call `Path.touch`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_no_code_in_a_file_is_run(tmp_path: Path) -> None:
    source = saved({"conv1.weight": Trap(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(PretrainedError, match="cannot read the weights"):
        load_pretrained(empty(BaselineConfig("resnet18")), source)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["IMAGENET1K_V9", "weights.onnx", ""])
def test_an_unknown_name_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(PretrainedError, match=f"{name!r} is neither .* for resnet50: IMAGENET1K_V1, IMAGENET1K_V2"):
        load_pretrained(empty(BaselineConfig("resnet50")), name)


def test_the_real_trunk_loads_and_is_another_network_with_other_strides(trunk_weights: Path) -> None:
    state = torch.load(trunk_weights, weights_only=True)
    network = empty(SANetConfig("resnet50", "1x1", 1.001e-5))
    loaded = load_pretrained(network, str(trunk_weights))
    check_loaded(network, without(state, "layer4.", "fc."), loaded, ())

    trunk = network.trunk.eval()
    for layer in ("layer2.0", "layer3.0"):
        first, second = trunk.get_submodule(f"{layer}.conv1"), trunk.get_submodule(f"{layer}.conv2")
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        assert (first.stride, second.stride) == ((2, 2), (1, 1))
    with torch.device("meta"):
        other = build_trunk(BackboneConfig("resnet50", "3x3", 1.001e-5)).eval()
    other.load_state_dict(trunk.state_dict(), assign=True)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        right, wrong = trunk(images), other(images)
    assert (right - wrong).norm() > 0.3 * right.norm()


def test_no_code_in_a_download_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    torch.save(Trap(tmp_path / "ran"), tmp_path / "checkpoints" / name)
    with pytest.raises(PretrainedError, match="cannot read the weights IMAGENET1K_V1"):
        load_pretrained(build_network(BaselineConfig("resnet18")), "IMAGENET1K_V1")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {1: torch.zeros(3)}, {"conv1.weight": "text"}])
def test_a_file_without_named_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(PretrainedError, match="does not hold tensors by name"):
        load_pretrained(build_network(BaselineConfig("resnet18")), str(tmp_path / "weights.pth"))


# --- a checkpoint of ours

INPUT_ALIGNED = SANetConfig("resnet18", transform="rotation", aligned="input", unit_length=True)


def checkpoint_of(config: NetworkConfig, path: Path) -> tuple[str, dict[str, Tensor]]:
    """The file's name, and what is in it."""
    network = build_network(config, Preprocessing(64))
    state = network.state_dict()
    # The normalisation is that of the header.
    network.load_state_dict(noisy({name: t for name, t in state.items() if "normalization" not in name}), strict=False)
    save_checkpoint(path, network, Preprocessing(64), {"trained": True})
    return str(path), network.state_dict()


@pytest.fixture(scope="module")
def input_aligned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Tensor]]:
    return checkpoint_of(INPUT_ALIGNED, tmp_path_factory.mktemp("ours") / "ours.safetensors")


def as_resnet(state: dict[str, Tensor], layer4: str) -> dict[str, Tensor]:
    """Trunk and one layer4 of ours under torchvision's names."""
    taken = {name: tensor for name, tensor in state.items() if name.startswith(("trunk.", f"{layer4}."))}
    return {name.removeprefix("trunk.").replace(layer4, "layer4"): tensor for name, tensor in taken.items()}


def check_warm(
    network: Network, source: tuple[str, dict[str, Tensor]], layer4: str, layers: tuple[str, ...], heading: int
) -> None:
    """It takes trunk and layer4s, and so many tensors of a heading, and says so."""
    path, state = source
    loaded = load_pretrained(network, path)
    of_heading = {name for name in loaded if name.startswith("input_alignment.")}
    assert len(of_heading) == heading
    own = network.state_dict()
    for name in of_heading:
        assert torch.equal(own[name], state[name]), name
    assert of_heading <= changed(network)
    resnet = as_resnet(state, layer4)
    others = loaded - of_heading
    assert others == changed(network) - of_heading
    assert {name.split(".layer4.")[0] for name in others if ".layer4." in name} <= {x.split(".")[0] for x in layers}
    expected = {f"trunk.{name}": name for name in without(resnet, "layer4.")}
    for layer in layers:
        expected |= {f"{layer}.{n.removeprefix('layer4.')}": n for n in resnet if n.startswith("layer4.")}
    assert others == expected.keys()
    for name, source_name in expected.items():
        assert torch.equal(own[name], resnet[source_name]), name


def num_heading_tensors() -> int:
    return sum(name.startswith("input_alignment.") for name in build_network(INPUT_ALIGNED).state_dict())


def test_a_checkpoint_of_ours_fills_trunk_every_layer4_and_the_heading(
    input_aligned: tuple[str, dict[str, Tensor]],
) -> None:
    network = empty(SANetConfig("resnet18", num_parts=3, transform="rotation", aligned="input"))
    assert num_heading_tensors() > 30
    check_warm(network, input_aligned, "global_branch.layer4", LAYER4, num_heading_tensors())


def test_only_an_aligned_input_takes_the_heading(input_aligned: tuple[str, dict[str, Tensor]]) -> None:
    check_warm(empty(SANetConfig("resnet18")), input_aligned, "global_branch.layer4", LAYER4, 0)
    check_warm(empty(BaselineConfig("resnet18")), input_aligned, "global_branch.layer4", ("layer4",), 0)


def test_a_checkpoint_without_a_heading_leaves_it_to_be_learned(tmp_path: Path) -> None:
    source = checkpoint_of(BaselineConfig("resnet18"), tmp_path / "baseline.safetensors")
    check_warm(empty(INPUT_ALIGNED), source, "layer4", LAYER4, 0)


def test_a_damaged_checkpoint_of_ours_is_named(input_aligned: tuple[str, dict[str, Tensor]], tmp_path: Path) -> None:
    data = bytearray(Path(input_aligned[0]).read_bytes())
    data[-100] ^= 1
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(data)
    with pytest.raises(PretrainedError, match=f"cannot read the weights {re.escape(str(path))}: .* is damaged"):
        load_pretrained(empty(INPUT_ALIGNED), str(path))


def test_a_checkpoint_of_ours_with_another_backbone_is_refused(
    input_aligned: tuple[str, dict[str, Tensor]],
) -> None:
    with pytest.raises(PretrainedError, match=r"is it of the same backbone\?"):
        load_pretrained(empty(BaselineConfig("resnet34")), input_aligned[0])
