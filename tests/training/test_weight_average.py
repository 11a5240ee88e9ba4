import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.trainee import Trainee
from training.weight_average import WeightAverage


def trainee_of(seed: int) -> Trainee:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
        return Trainee(network, nn.BatchNorm1d(2, affine=False), nn.Linear(4, 2), torch.float32)  # type: ignore[arg-type]


def change(trainee: Trainee, rng: np.random.Generator) -> dict[str, Tensor]:
    """Another value for every number, in place as an optimiser does it; counters count."""
    with torch.no_grad():
        for tensor in trainee.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(rng.normal(size=tensor.shape)))
            else:
                tensor.add_(1)
    return {name: tensor.clone() for name, tensor in trainee.state_dict().items()}


@pytest.mark.parametrize("num_steps", [1, 3, 100])
def test_it_is_the_plain_mean_at_first_and_then_an_exponential_one(num_steps: int) -> None:
    trainee = trainee_of(0)
    average = WeightAverage(trainee, num_steps)
    rng = np.random.default_rng(0)
    seen: list[dict[str, Tensor]] = []
    expected: dict[str, Tensor] = {}
    for step in range(8):
        seen.append(change(trainee, rng))
        average.update(torch.tensor(average.share_of(step)))
        found = average.average.state_dict()
        for name, tensor in found.items():
            if not tensor.is_floating_point():
                continue
            values = torch.stack([state[name].double() for state in seen])
            if step < num_steps:
                expected[name] = values.mean(dim=0)
            else:
                expected[name] = expected[name] + (values[-1] - expected[name]) / num_steps
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
    assert {"network.0.weight", "network.1.running_var", "necks.running_mean", "objective.bias"} <= expected.keys()


def test_the_share_of_a_step() -> None:
    average = WeightAverage(trainee_of(0), 4)
    shares = [average.share_of(step) for step in (0, 1, 2, 3, 4, 1000)]
    assert shares == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 4, 1 / 4]


def test_counters_are_not_averaged() -> None:
    trainee = trainee_of(0)
    average = WeightAverage(trainee, 4)
    change(trainee, np.random.default_rng(0))
    average.update(torch.tensor(0.5))
    assert int(average.average.state_dict()["network.1.num_batches_tracked"]) == 0


def test_what_does_not_change_stays_to_the_last_bit() -> None:
    trainee = trainee_of(0)
    average = WeightAverage(trainee, 1000)
    for step in range(50):
        average.update(torch.tensor(average.share_of(step)))
    for name, tensor in average.average.state_dict().items():
        assert torch.equal(tensor, trainee.state_dict()[name])


def test_it_begins_anew_from_the_trainee_as_it_is() -> None:
    trainee = trainee_of(0)
    average = WeightAverage(trainee, 4)
    average.update(torch.tensor(0.5))
    state = change(trainee, np.random.default_rng(3))
    average.restart()
    for name, tensor in average.average.state_dict().items():
        assert torch.equal(tensor, state[name]) == tensor.is_floating_point(), name


def test_it_is_apart_from_what_trains() -> None:
    trainee = trainee_of(0)
    average = WeightAverage(trainee, 4)
    before = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    change(trainee, np.random.default_rng(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in average.state_dict().items())
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in trainee.parameters())
    assert not any(module.training for module in average.average.modules())
    assert trainee.training


def test_it_follows_what_was_loaded_into_both() -> None:
    """As a resumed run does it: in place."""
    trainee, other = trainee_of(0), trainee_of(1)
    average, other_average = WeightAverage(trainee, 4), WeightAverage(other, 4)
    trainee.load_state_dict(other.state_dict())
    average.load_state_dict(other_average.state_dict())
    for one in (trainee, other):
        change(one, np.random.default_rng(2))
    for one_average in (average, other_average):
        one_average.update(torch.tensor(0.3))
    for name, tensor in average.state_dict().items():
        assert torch.equal(tensor, other_average.state_dict()[name])
