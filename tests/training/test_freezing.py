from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.freezing import freeze, thaw
from training.learner import Learner, build_learner
from training.recipe import Recipe
from training.step import Batch, Stepper

NUM_LABELS = 4
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
TRUNK = "trunk."
LAYER4 = ("global_branch.layer4.", "top_down_branch.layer4.", "left_right_branch.layer4.")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pre-trained ResNet-18 looks like: weights of its own and statistics that are not a fresh network's."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        state = torchvision.models.resnet18(weights=None).state_dict()
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor += 0.1 * torch.rand(tensor.shape, generator=generator)
        elif name.endswith("num_batches_tracked"):
            tensor += 77
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    safetensors.torch.save_file(state, path)
    return path


@pytest.fixture(scope="module")
def trunk_only(weights: Path) -> Path:
    state = safetensors.torch.load_file(weights)
    path = weights.parent / "trunk.safetensors"
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(("layer4.", "fc."))}
    safetensors.torch.save_file(kept, path)
    return path


def learner_from(trunk_weights: Path | str) -> Learner:
    recipe = Recipe(
        backbone="resnet18",
        size_px=32,
        num_identities=4,
        num_images=2,
        weight_decay=0.0,
        trunk_weights=str(trunk_weights),
    )
    return build_learner(recipe, NUM_LABELS, 0, torch.device("cpu"))


def state_of(learner: Learner) -> dict[str, Tensor]:
    network = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    return network | {f"objective.{name}": t.clone() for name, t in learner.trainee.objective.state_dict().items()}


def changed_by_steps(learner: Learner, stepper: Stepper, num_steps: int = 3) -> set[str]:
    """The names of parameters and buffers of which any number changes; the alignment needs two steps to move whole."""
    before = state_of(learner)
    rng = np.random.default_rng(0)
    for _ in range(num_steps):
        images = torch.from_numpy(rng.integers(0, 256, (8, 3, 32, 32), np.uint8))
        stepper.step(Batch(images, LABELS, None), 1e-3, 0.0, rng)
    return {name for name, tensor in state_of(learner).items() if not torch.equal(tensor, before[name])}


def test_while_frozen_what_was_loaded_stays_and_the_rest_learns(weights: Path) -> None:
    learner = learner_from(weights)
    state = state_of(learner)
    assert learner.loaded == {name for name in state if name.startswith((TRUNK, *LAYER4))}
    stepper = Stepper(learner, frozen=True)
    assert stepper.frozen
    assert changed_by_steps(learner, stepper) == state.keys() - learner.loaded
    source = safetensors.torch.load_file(weights)
    assert torch.equal(learner.network.state_dict()["trunk.bn1.running_mean"], source["bn1.running_mean"])


def test_a_layer4_that_was_not_loaded_learns_at_once(trunk_only: Path) -> None:
    learner = learner_from(trunk_only)
    assert learner.loaded == {name for name in state_of(learner) if name.startswith(TRUNK)}
    changed = changed_by_steps(learner, Stepper(learner, frozen=True))
    assert changed == state_of(learner).keys() - learner.loaded
    assert any(name.startswith(LAYER4) and name.endswith("running_var") for name in changed)


def test_after_the_thaw_everything_learns(weights: Path) -> None:
    learner = learner_from(weights)
    changed_by_steps(learner, Stepper(learner, frozen=True), num_steps=1)
    assert changed_by_steps(learner, Stepper(learner, frozen=False)) == state_of(learner).keys()


def test_from_scratch_nothing_is_frozen() -> None:
    learner = learner_from("none")
    assert learner.loaded == frozenset()
    assert changed_by_steps(learner, Stepper(learner, frozen=True)) == state_of(learner).keys()


def test_an_epoch_begins_in_its_mode_whatever_a_validation_left(weights: Path) -> None:
    learner = learner_from(weights)
    for frozen in (True, False):
        stepper = Stepper(learner, frozen=frozen)
        learner.network.eval()
        stepper.begin_epoch()
        for name, module in learner.network.named_modules():
            held = frozen and isinstance(module, _BatchNorm) and f"{name}.running_mean" in learner.loaded
            assert module.training != held, name
        changed = changed_by_steps(learner, stepper, num_steps=2)
        assert changed == state_of(learner).keys() - (learner.loaded if frozen else frozenset())


def test_a_frozen_batchnorm_uses_the_statistics_that_were_loaded() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    freeze(network, {"0.weight", "0.bias", "0.running_mean", "0.running_var"})
    images = 5 + 3 * torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network[0](images), images, rtol=1e-4, atol=1e-4)
    assert network[1](images).mean().abs() < 1e-4


def test_only_what_is_named_is_frozen() -> None:
    several = nn.ParameterDict({"one": torch.zeros(1), "one_more": torch.zeros(1)})
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "ab": several, "bn": nn.BatchNorm1d(2)})
    freeze(network, {"a.weight", "ab.one", "bn.weight"})
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == {
        "a.weight": False, "a.bias": True, "ab.one": False, "ab.one_more": True, "bn.weight": False, "bn.bias": True,
    }  # fmt: skip
    assert network["bn"].training  # its statistics were not loaded


def test_the_thaw_undoes_the_freezing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    freeze(network, network.state_dict().keys())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network[1].training
    thaw(network.eval())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())
