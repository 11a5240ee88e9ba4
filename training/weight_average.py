"""The mean of the weights of many steps: flatter minima, which carry over to other data (Izmailov et al. 2018)."""

import copy

import torch
from torch import Tensor, nn

from training.trainee import Trainee


class WeightAverage(nn.Module):
    """A copy of what trains that follows it: the plain mean of its weights at first, then an exponential one.

    BatchNorm's statistics are averaged like weights; counters are not.

    Args:
        trainee: what trains.
        num_steps: how many last steps the mean reaches back; until then it is that of all steps.
    """

    def __init__(self, trainee: Trainee, num_steps: int) -> None:
        super().__init__()
        self.average = copy.deepcopy(trainee).requires_grad_(False).eval()
        self._num_steps = num_steps
        self._pairs: tuple[list[Tensor], list[Tensor]] = ([], [])
        for mine, theirs in zip(self.average.state_dict().values(), trainee.state_dict().values(), strict=True):
            if mine.is_floating_point():
                self._pairs[0].append(mine)
                self._pairs[1].append(theirs.detach())

    @torch.no_grad()
    def restart(self) -> None:
        """Begins anew from the trainee as it is now."""
        for mine, theirs in zip(*self._pairs, strict=True):
            mine.copy_(theirs)

    def share_of(self, step: int) -> float:
        """How much the weights after step 0, 1, ... count in the mean."""
        return 1 / min(step + 1, self._num_steps)

    @torch.no_grad()
    def update(self, share: Tensor) -> None:
        """Moves the mean towards the trainee's weights by a share, a scalar on their device."""
        mine, theirs = self._pairs
        difference = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(difference, share)
        torch._foreach_add_(mine, difference)
