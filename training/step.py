"""One step of the optimiser: all that takes time on the device. On a GPU it is captured once and then replayed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training import distributed
from training.augmentation import Drawn, draw
from training.freezing import freeze, thaw
from training.learner import Learner
from training.schedule import set_learning_rate

_NUM_EAGER_STEPS = 3  # before a step is captured: libraries choose their kernels, the optimiser makes its state


class Batch(NamedTuple):
    """This process's part of a batch, on the device.

    Attributes:
        images: (N, 3 or 4, S, S) uint8.
        labels: (N,).
        headings_rad: (N,) of the vehicles, where the input is aligned; None elsewhere.
        annotations: (N, A) class indices, -1 where unknown, for methods that learn from them; None elsewhere.
    """

    images: Tensor
    labels: Tensor
    headings_rad: Tensor | None
    annotations: Tensor | None = None


class Outcome(NamedTuple):
    """What a step came to; the next one overwrites it.

    Attributes:
        terms: the loss terms of the whole batch, scalars.
        theta: (N, 2, 3) how the network aligned the map of this process's images; None where it does not.
    """

    terms: dict[str, Tensor]
    theta: Tensor | None


class Stepper:
    """Takes the steps between two changes of what trains: those in which what was loaded is frozen, and the rest."""

    def __init__(self, learner: Learner, *, frozen: bool) -> None:
        self._learner = learner
        self.frozen = frozen
        self.begin_epoch()
        # After freezing: what is frozen has no gradients to share.
        self._trainee = distributed.parallel(learner.trainee)
        # Several processes talk to each other in a step, and fp16 looks at its gradients: both need the host.
        capturable = learner.device.type == "cuda" and distributed.world_size() == 1 and not learner.scaler.is_enabled()
        self._captured = _CapturedStep(self._compute) if capturable else None

    def begin_epoch(self) -> None:
        """Puts the network into its mode, whatever came between."""
        thaw(self._learner.trainee)
        freeze(self._learner.network, self._learner.held | (self._learner.loaded if self.frozen else frozenset()))

    def step(self, batch: Batch, learning_rate: float, average_share: float, rng: np.random.Generator) -> Outcome:
        """One step.

        Args:
            batch: this process's.
            learning_rate: of the step.
            average_share: how much the weights after it count in their mean.
            rng: draws the whole batch's augmentation, the same in each process.
        """
        learner = self._learner
        num_images = distributed.world_size() * len(batch.images)
        drawn = draw(learner.recipe, num_images, rng).part(distributed.share(num_images)).on(learner.device)
        set_learning_rate(learner.optimizer, learning_rate)
        share = torch.tensor(average_share).to(learner.device, non_blocking=True)
        if self._captured is not None:
            return self._captured(batch, drawn, share)
        return self._compute(batch, drawn, share)

    def _compute(self, batch: Batch, drawn: Drawn, average_share: Tensor) -> Outcome:
        learner, recipe = self._learner, self._learner.recipe
        learner.feature_augmentation.style_share = drawn.style_share if recipe.mixstyle_p else None
        learner.feature_augmentation.channel_scale = drawn.channel_scale if recipe.channel_drop else None
        images = learner.augmenter(batch.images, drawn, batch.headings_rad)
        terms, theta = self._trainee(images, batch.labels, batch.annotations)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.scaler.scale(terms["total"]).backward()
        if recipe.clip_norm:
            learner.scaler.unscale_(learner.optimizer)
            nn.utils.clip_grad_norm_(learner.trainee.parameters(), recipe.clip_norm)
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
        if learner.average is not None:
            learner.average.update(average_share)
        return Outcome({name: term.detach() for name, term in terms.items()}, None if theta is None else theta.detach())


class _CapturedStep:
    """A step's kernels, launched all at once (CUDA graph): no time is lost between them.

    The first steps run one kernel after the other, on a stream of their own, as capturing wants it.
    """

    def __init__(self, compute: Callable[[Batch, Drawn, Tensor], Outcome]) -> None:
        self._compute = compute
        self._num_steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Batch, drawn: Drawn, average_share: Tensor) -> Outcome:
        if self._graph is None and self._num_steps < _NUM_EAGER_STEPS:
            self._num_steps += 1
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                outcome = self._compute(batch, drawn, average_share)
            torch.cuda.current_stream().wait_stream(stream)
            return outcome
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._batch = Batch(*(None if tensor is None else tensor.clone() for tensor in batch))  # type: ignore[arg-type]
            self._drawn = Drawn(*(tensor.clone() for tensor in drawn))
            self._average_share = average_share.clone()
            # Only this thread's calls count: those that read images pin memory meanwhile, which "global" forbids.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._outcome = self._compute(self._batch, self._drawn, self._average_share)
        inputs, given = [*self._batch, *self._drawn, self._average_share], [*batch, *drawn, average_share]
        for mine, theirs in zip(inputs, given, strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs, non_blocking=True)
        self._graph.replay()
        return self._outcome
