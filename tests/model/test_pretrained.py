import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from model.build import Network, build_network, build_normalization
from model.checkpoint import save_checkpoint
from model.config import (
    AMWTLConfig,
    Backbone,
    BackboneConfig,
    BaselineConfig,
    CNNetsConfig,
    NetworkConfig,
    RAMConfig,
    SANetConfig,
    SCANConfig,
    VSCRConfig,
)
from model.preprocessing import Preprocessing
from model.pretrained import PretrainedError, load_heading, load_pretrained
from model.resnet import build_trunk
from model.sanet import SANet

LAYER4 = ("global_branch.layer4", "top_down_branch.layer4", "left_right_branch.layer4")

COMPARED: list[type[NetworkConfig]] = [RAMConfig, SCANConfig, VSCRConfig, AMWTLConfig, CNNetsConfig]


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
    network.normalization = build_normalization(Preprocessing())
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
        ({"layer4.9.bias": torch.zeros(1)}, "has unknown layer4.9.bias: is"),
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, "has another shape for conv1.weight: is"),
        ({"layer4.1.bn2.bias": torch.zeros(3)}, "has another shape for layer4.1.bn2.bias: is"),
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


@pytest.mark.parametrize(
    ("backbone", "name"),
    [("efficientnet_lite0", "IMAGENET1K_V1"), ("resnet18", "efficientnet_lite0"), ("resnet50", "efficientnet_lite0")],
)
def test_weights_of_another_backbone_have_another_name(backbone: Backbone, name: str) -> None:
    known = "efficientnet_lite0" if backbone == "efficientnet_lite0" else "IMAGENET1K_V1"
    with pytest.raises(PretrainedError, match=f"{name!r} is neither .* for {backbone}: {known}"):
        load_pretrained(empty(BaselineConfig(backbone)), name)


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


def check_continued(network: Network, source: tuple[str, dict[str, Tensor]], expected: dict[str, str]) -> None:
    """The network's tensors of these names hold the source's of those, the names say so, and no other one changed."""
    path, state = source
    loaded = load_pretrained(network, path)
    own = network.state_dict()
    assert loaded == expected.keys() == changed(network)
    for name, source_name in expected.items():
        assert torch.equal(own[name], state[source_name]), name


def below(state: dict[str, Tensor], *prefixes: str) -> dict[str, str]:
    """The names below these prefixes, each standing for itself."""
    return {name: name for name in state if name.startswith(prefixes)}


def layer4_from(state: dict[str, Tensor], source: str, *targets: str) -> dict[str, str]:
    """The names of layer4s, each standing for its tensor in one layer4 of the source."""
    rest = [name.removeprefix(f"{source}.") for name in state if name.startswith(f"{source}.")]
    assert len(rest) == 30
    return {f"{target}.{name}": f"{source}.{name}" for target in targets for name in rest}


@pytest.mark.parametrize(
    "config",
    [
        INPUT_ALIGNED,
        SANetConfig("resnet18"),
        SANetConfig("resnet18", num_parts=3, transform="similarity"),
        SANetConfig("resnet18", num_parts=0, transform="none"),
        SANetConfig("efficientnet_lite0", num_parts=1, transform="rotation", aligned="input", num_columns=2),
        BaselineConfig("resnet18"),
        BaselineConfig("efficientnet_lite0"),
        *[kind("resnet18") for kind in COMPARED],
    ],
)
def test_a_training_that_goes_on_starts_from_the_whole_checkpoint(config: NetworkConfig, tmp_path: Path) -> None:
    source = checkpoint_of(config, tmp_path / "ours.safetensors")
    check_continued(empty(config), source, {name: name for name in source[1]})


@pytest.mark.parametrize("kind", COMPARED)
def test_another_architecture_gives_its_backbone_alone(
    kind: type[NetworkConfig], input_aligned: tuple[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    """Reductions of the same name and shape mean something else there."""
    network = empty(kind("resnet18"))
    expected = below(network.state_dict(), "trunk.") | layer4_from(input_aligned[1], "global_branch.layer4", "layer4")
    check_continued(network, input_aligned, expected)
    scan = checkpoint_of(SCANConfig("resnet18"), tmp_path / "scan.safetensors")
    other = empty(VSCRConfig("resnet18"))
    check_continued(other, scan, below(scan[1], "trunk.", "layer4."))


def test_what_does_not_change_a_tensors_meaning_may_differ(input_aligned: tuple[str, dict[str, Tensor]]) -> None:
    config = SANetConfig("resnet18", transform="rotation", aligned="input", padding="border", num_columns=3)
    check_continued(empty(config), input_aligned, {name: name for name in input_aligned[1]})


def test_the_reductions_of_another_number_of_parts_stay_fresh(input_aligned: tuple[str, dict[str, Tensor]]) -> None:
    for num_parts in (1, 3):
        network = empty(SANetConfig("resnet18", num_parts=num_parts, transform="rotation", aligned="input"))
        state = input_aligned[1]
        expected = {name: name for name in state if ".reductions." not in name}
        assert len(state) - len(expected) == 8  # weight and bias of two parts in two branches
        check_continued(network, input_aligned, expected)


def test_the_global_branch_alone_starts_spatial_branches(tmp_path: Path) -> None:
    config = SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input")
    source = checkpoint_of(config, tmp_path / "ours.safetensors")
    spatial = layer4_from(source[1], "global_branch.layer4", *LAYER4[1:])
    check_continued(empty(INPUT_ALIGNED), source, {name: name for name in source[1]} | spatial)


def test_the_global_branch_alone_is_taken_from_all_branches(input_aligned: tuple[str, dict[str, Tensor]]) -> None:
    config = SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input")
    expected = below(input_aligned[1], "trunk.", "global_branch.", "input_alignment.")
    check_continued(empty(config), input_aligned, expected)


def test_only_an_aligned_input_takes_the_heading(input_aligned: tuple[str, dict[str, Tensor]]) -> None:
    state = input_aligned[1]
    expected = {name: name for name in state if not name.startswith("input_alignment.")}
    assert len(state) - len(expected) > 30
    check_continued(empty(SANetConfig("resnet18")), input_aligned, expected)
    baseline = below(state, "trunk.") | layer4_from(state, "global_branch.layer4", "layer4")
    check_continued(empty(BaselineConfig("resnet18")), input_aligned, baseline)


def test_an_alignment_of_another_transform_stays_fresh(tmp_path: Path) -> None:
    source = checkpoint_of(SANetConfig("resnet18"), tmp_path / "ours.safetensors")
    expected = {name: name for name in source[1] if not name.startswith("alignment.")}
    assert len(expected) < len(source[1])
    for transform in ("similarity", "none"):
        check_continued(empty(SANetConfig("resnet18", transform=transform)), source, expected)


def test_a_baseline_starts_every_branch_and_leaves_the_heading_to_be_learned(tmp_path: Path) -> None:
    source = checkpoint_of(BaselineConfig("resnet18"), tmp_path / "baseline.safetensors")
    expected = below(source[1], "trunk.") | layer4_from(source[1], "layer4", *LAYER4)
    check_continued(empty(INPUT_ALIGNED), source, expected)


@pytest.mark.parametrize(
    ("config", "preprocessing", "reason"),
    [
        (BaselineConfig("resnet50", "1x1"), Preprocessing(64), "trained with the stride 3x3, the network has 1x1"),
        (BaselineConfig("resnet18", bn_eps=1e-3), Preprocessing(64), "with the bn_eps 1e-05, the network has 0.001"),
        (
            BaselineConfig("resnet50"),
            Preprocessing(64, mean=(0.5, 0.5, 0.5)),
            "with the mean .0.485.*, the network has",
        ),
        (BaselineConfig("resnet18"), Preprocessing(64, std=(0.5, 0.5, 0.5)), "with the std .0.229.*, the network has"),
    ],
)
def test_what_the_tensors_do_not_show_is_compared(
    config: NetworkConfig, preprocessing: Preprocessing, reason: str, tmp_path: Path
) -> None:
    source, _ = checkpoint_of(BaselineConfig(config.backbone), tmp_path / "ours.safetensors")
    with torch.device("meta"):
        network = build_network(config)
    network.normalization = build_normalization(preprocessing)
    with pytest.raises(PretrainedError, match=reason):
        load_pretrained(network, source)


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


# --- the heading alone

HEADED = SANetConfig("resnet18", num_parts=0, transform="rotation", aligned="input")


def learned_heading(path: Path) -> tuple[str, SANet]:
    """A checkpoint whose heading's BatchNorms have seen pictures, and its network."""
    network = build_network(HEADED, Preprocessing(64))
    assert isinstance(network, SANet)
    assert network.input_alignment is not None
    heading = network.input_alignment.heading
    for module in heading.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for seed in range(5):
            heading(network.normalization(smooth_pictures(seed)))
    save_checkpoint(path, network, Preprocessing(64), {"trained": True})
    return str(path), network.eval()


def smooth_pictures(seed: int) -> Tensor:
    coarse = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=64, mode="bilinear")


def angles_deg(network: Network, images: Tensor) -> Tensor:
    assert isinstance(network, SANet)
    assert network.input_alignment is not None
    with torch.no_grad():
        return torch.rad2deg(network.input_alignment.heading(network.normalization(images)))


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_the_heading_is_taken_alone_and_into_any_backbone(backbone: Backbone, tmp_path: Path) -> None:
    path, trained = learned_heading(tmp_path / "ours.safetensors")
    network = build_network(SANetConfig(backbone, num_parts=1, transform="rotation", aligned="input")).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loaded = load_heading(network, path)
    after, expected = network.state_dict(), trained.state_dict()
    assert loaded == {name for name in after if name.startswith("input_alignment.")}
    for name, tensor in after.items():
        assert torch.equal(tensor, expected[name] if name in loaded else before[name]), name


@pytest.mark.parametrize(
    ("mean", "std"), [((0.498,) * 3, (0.502,) * 3), ((0.1, 0.5, 0.9), (0.2, 0.4, 0.6)), ((0.0,) * 3, (1.0,) * 3)]
)
def test_a_heading_reads_what_is_normalised_otherwise(
    mean: tuple[float, float, float], std: tuple[float, float, float], tmp_path: Path
) -> None:
    path, trained = learned_heading(tmp_path / "ours.safetensors")
    network = build_network(HEADED, Preprocessing(64, mean, std)).eval()
    load_heading(network, path)
    images = smooth_pictures(seed=99)
    expected = angles_deg(trained, images)

    def off(angles: Tensor) -> float:
        return float(((angles - expected + 180).remainder(360) - 180).abs().median())

    adapted = off(angles_deg(network, images))
    network.normalization = trained.normalization
    assert adapted < 5  # the rim of the disc is padded with another colour
    assert off(angles_deg(network, images)) > adapted + 1


def test_without_a_heading_there_is_none_to_take(tmp_path: Path, resnet18_state: dict[str, Tensor]) -> None:
    path, _ = learned_heading(tmp_path / "ours.safetensors")
    for config in (BaselineConfig("resnet18"), SANetConfig("resnet18")):
        with pytest.raises(PretrainedError, match="the network aligns no input"):
            load_heading(empty(config), path)
        source, _ = checkpoint_of(config, tmp_path / "other.safetensors")
        with pytest.raises(PretrainedError, match=r"other\.safetensors aligns no input"):
            load_heading(empty(INPUT_ALIGNED), source)
    with pytest.raises(PretrainedError, match=r"weights\.pth is no checkpoint of this program"):
        load_heading(empty(INPUT_ALIGNED), saved(resnet18_state, tmp_path / "weights.pth"))
