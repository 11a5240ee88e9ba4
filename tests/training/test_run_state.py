import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from training.recipe import Recipe
from training.run_state import Progress, RunStateError, load_run_state, save_run_state
from training.schedule import build_optimizer, set_learning_rate
from training.trainee import Trainee
from training.weight_average import WeightAverage

PROGRESS = Progress(
    steps_per_epoch=7,
    epoch=3,
    step_in_epoch=2,
    sums={"total": 0.1 + 0.7, "id_g": 1 / 3},
    best={"epoch": 1, "cmc1": 0.1 + 0.2, "map": 1 / 3},
    loss_scale={"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000},
)


class Learner:
    """The smallest that has what a real one has: BatchNorm, an alignment module, channels last, necks, an average."""

    def __init__(self, seed: int, width: int = 6, num_labels: int = 4, *, averages: bool = True) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.network = nn.Sequential()
            self.network.add_module("trunk", nn.Conv2d(3, width, 3, bias=False))
            self.network.add_module("norm", nn.BatchNorm2d(width))
            self.network.add_module("alignment", nn.Conv2d(width, 5, 3))
            self.network.to(memory_format=torch.channels_last)
            self.objective = nn.Linear(5, num_labels)
        self.necks = nn.BatchNorm1d(5, affine=False)
        self.trainee = Trainee(self.network, self.necks, self.objective, torch.float32)  # type: ignore[arg-type]
        self.average = WeightAverage(self.trainee, 3)
        self.averages = averages
        self.optimizer = build_optimizer(self.trainee, Recipe(), ())

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"trainee": self.trainee} | ({"average": self.average} if self.averages else {})

    def step(self, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(8, 3, 9, 9, generator=generator).to(memory_format=torch.channels_last)
        features = self.necks(self.network(images).mean(dim=(2, 3)))
        loss = nn.functional.cross_entropy(self.objective(features), torch.arange(8) % 4)
        set_learning_rate(self.optimizer, 0.01)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update(torch.tensor(0.3))
        return loss.item()

    def save(self, path: Path, progress: Progress = PROGRESS) -> Path:
        save_run_state(path, self.modules, self.optimizer, progress)
        return path

    def load(self, path: Path) -> Progress:
        return load_run_state(path, self.modules, self.optimizer)

    def tensors(self) -> dict[str, Tensor]:
        """Every number that it has."""
        found = {
            f"{prefix}.{name}": tensor
            for prefix, module in self.modules.items()
            for name, tensor in module.state_dict().items()
        }
        for number, group in enumerate(self.optimizer.param_groups):
            for position, parameter in enumerate(group["params"]):
                for name, moment in self.optimizer.state[parameter].items():
                    found[f"moment.{number}.{position}.{name}"] = moment
        return {name: tensor.detach().clone() for name, tensor in found.items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=0)


def trained(num_steps: int = 3) -> Learner:
    learner = Learner(1)
    for seed in range(num_steps):
        learner.step(seed)
    return learner


@pytest.fixture(scope="module")
def whole_state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return trained().save(tmp_path_factory.mktemp("state") / "state.safetensors").read_bytes()


@pytest.fixture
def state(whole_state: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "state.safetensors"
    path.write_bytes(whole_state)
    return path


def test_everything_comes_back_bit_by_bit(state: Path) -> None:
    other = Learner(2)
    other.step(9)
    assert other.load(state) == PROGRESS
    expected = trained().tensors()
    assert_same(other.tensors(), expected)
    moments = [tensor for name, tensor in expected.items() if name.endswith(("exp_avg", "exp_avg_sq"))]
    assert len(moments) == 2 * len(list(other.optimizer.state))
    assert all(moment.any() for moment in moments)
    assert {int(tensor) for name, tensor in expected.items() if name.endswith(".step")} == {3}
    averaged = {name: t for name, t in expected.items() if name.startswith("average.") and t.is_floating_point()}
    assert {"average.average.network.trunk.weight", "average.average.necks.running_var"} <= averaged.keys()
    assert not any(
        torch.equal(t, expected[f"trainee.{n.removeprefix('average.average.')}"]) for n, t in averaged.items()
    )


def test_it_goes_on_as_if_it_had_never_stopped(state: Path) -> None:
    whole, resumed = trained(), Learner(2)
    resumed.load(state)
    for seed in range(3, 8):
        assert resumed.step(seed) == whole.step(seed)
    assert_same(resumed.tensors(), whole.tensors())


def test_before_the_first_step_there_are_no_moments(tmp_path: Path) -> None:
    fresh, other = Learner(1), Learner(2)
    fresh.save(tmp_path / "state", Progress(5))
    assert other.load(tmp_path / "state") == Progress(5, 0, 0, {}, None, None)
    assert_same(other.tensors(), fresh.tensors())
    assert not any(name.startswith("moment") for name in other.tensors())
    assert other.step(1) == fresh.step(1)


def test_what_was_frozen_has_no_moments_until_it_thaws(tmp_path: Path) -> None:
    whole, resumed = Learner(1), Learner(2)
    whole.network.requires_grad_(False)
    whole.step(1)
    resumed.load(whole.save(tmp_path / "state"))
    assert len(resumed.optimizer.state) == 2
    whole.network.requires_grad_(True)
    assert [resumed.step(2), resumed.step(3)] == [whole.step(2), whole.step(3)]
    assert_same(resumed.tensors(), whole.tensors())


def test_progress_counts_the_steps_of_all_epochs() -> None:
    assert Progress(7).steps_done == 0
    assert PROGRESS.steps_done == 7 + 7 + 7 + 2
    assert Progress(7, epoch=2, step_in_epoch=7).steps_done == Progress(7, epoch=3).steps_done


def test_learning_rate_and_decay_come_from_the_recipe_not_from_the_file(state: Path) -> None:
    learner = Learner(1)
    before = [{k: v for k, v in group.items() if k != "params"} for group in learner.optimizer.param_groups]
    learner.load(state)
    assert [{k: v for k, v in group.items() if k != "params"} for group in learner.optimizer.param_groups] == before


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"width": 5}, "trunk.weight"), ({"num_labels": 3}, "weight"), ({"width": 5, "num_labels": 3}, "trunk.weight")],
)
def test_the_state_of_another_network_is_an_error(other: dict[str, Any], reason: str, state: Path) -> None:
    with pytest.raises(RunStateError, match=reason) as raised:
        Learner(1, **other).load(state)
    assert str(raised.value).startswith(f"the state {state} cannot be used: ")
    assert "\n" not in str(raised.value)


def test_a_network_with_one_more_layer_is_another(state: Path) -> None:
    learner = Learner(1)
    learner.network.add_module("more", nn.Linear(1, 1))
    with pytest.raises(RunStateError, match=r"more\.weight"):
        learner.load(state)


def test_an_average_where_there_was_none_is_another_run(tmp_path: Path) -> None:
    path = Learner(1, averages=False).save(tmp_path / "state")
    assert Learner(2, averages=False).load(path) == PROGRESS
    with pytest.raises(RunStateError, match=r"average\.network\.trunk\.weight"):
        Learner(1).load(path)


def test_where_no_step_is_left_the_moments_are_left_out(tmp_path: Path) -> None:
    learner = trained()
    save_run_state(tmp_path / "state", learner.modules, None, PROGRESS)
    other = Learner(2)
    assert other.load(tmp_path / "state") == PROGRESS
    expected = {name: tensor for name, tensor in learner.tensors().items() if not name.startswith("moment.")}
    assert_same(other.tensors(), expected)
    whole = learner.save(tmp_path / "whole").stat().st_size
    assert (tmp_path / "state").stat().st_size < whole
    assert not any(name.startswith("optimizer.") for name in safetensors.torch.load_file(tmp_path / "state"))


def test_a_missing_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunStateError, match=f"^there is no state to go on from at {tmp_path / 'absent'}$"):
        Learner(1).load(tmp_path / "absent")


@pytest.mark.parametrize("length", [0, 7, 100, 0.5, -1])
def test_a_torn_state_is_an_error(length: float, state: Path) -> None:
    whole = state.read_bytes()
    state.write_bytes(whole[: int(length * len(whole)) if length == 0.5 else int(length)])
    with pytest.raises(RunStateError, match=f"^the state {state} cannot be used: "):
        Learner(1).load(state)


def rewritten(state: Path, **changes: str | None) -> Path:
    """The same tensors below another header."""
    with safetensors.safe_open(state, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
    tensors = safetensors.torch.load_file(state)
    safetensors.torch.save_file(tensors, state, {name: text for name, text in metadata.items() if text is not None})
    return state


def test_the_header_alone_makes_no_difference_if_it_is_the_same(state: Path) -> None:
    learner = Learner(2)
    assert learner.load(rewritten(state)) == PROGRESS
    assert_same(learner.tensors(), trained().tensors())


@pytest.mark.parametrize("name", [None, "sanet-run-0", "sanet-run-1", "sanet-checkpoint-1"])
def test_another_format_is_an_error_that_says_which_was_expected(name: str | None, state: Path) -> None:
    with pytest.raises(RunStateError, match="is no state of a run of this version: expected the format") as raised:
        Learner(1).load(rewritten(state, format=name))
    assert f"expected the format 'sanet-run-2', got {name!r}; start another run" in str(raised.value)


@pytest.mark.parametrize("progress", [None, "{", "[]", "{}", json.dumps({"steps_per_epoch": 1, "pace": 2})])
def test_a_progress_that_is_none_is_an_error(progress: str | None, state: Path) -> None:
    with pytest.raises(RunStateError, match="cannot be used"):
        Learner(1).load(rewritten(state, progress=progress))


def test_a_write_that_fails_leaves_the_last_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state.read_bytes()

    def torn(_: dict[str, Tensor], path: Path, __: Any) -> None:
        Path(path).write_bytes(before[:50])
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", torn)
    with pytest.raises(OSError, match="no space left"):
        trained(5).save(state)
    assert state.read_bytes() == before
    assert list(state.parent.iterdir()) == [state]
