"""The p × k sampler: every batch holds p identities with k images each (Hermans et al. 2017)."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class SamplerError(ValueError):
    """Data from which no batch can be drawn; the message says what is missing."""


class PKSampler:
    """Draws an epoch of batches, a function of the seed and the epoch's number alone.

    An identity's images are shuffled and cut into groups of k; what is left over sits the epoch out. An identity with
    fewer than k images is one group, in which they repeat. An epoch has as many batches as can be filled with p
    *different* identities: with exactly p identities each batch holds them all.
    """

    def __init__(self, labels: Sequence[int], num_identities: int, num_images: int, seed: int) -> None:
        self._p, self._k, self._seed = num_identities, num_images, seed
        members: dict[int, list[int]] = defaultdict(list)
        for position, label in enumerate(labels):
            members[label].append(position)
        if len(members) < num_identities:
            raise SamplerError(
                f"a batch needs images of {num_identities} identities, the training data has {len(members)}: add data, "
                "or lower num_identities"
            )
        self._members = [np.array(members[label]) for label in sorted(members)]
        self._num_groups = np.array([max(len(positions) // num_images, 1) for positions in self._members])
        self.num_batches = _most_batches(self._num_groups, num_identities)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """The epoch's batches: (num_batches, p, k) positions in the labels; the p of a row differ in their label."""
        rng = np.random.default_rng([0, self._seed, epoch])
        groups: list[NDArray[np.int64]] = []
        for identity in rng.permutation(len(self._members)):
            shuffled = rng.permutation(self._members[identity])
            # Not more groups than batches: no batch holds an identity twice.
            num = min(int(self._num_groups[identity]), self.num_batches)
            groups.extend(np.resize(shuffled, (num, self._k)))
        surplus = len(groups) - self.num_batches * self._p
        dropped = set(rng.choice(len(groups), surplus, replace=False).tolist())
        kept = np.stack([group for number, group in enumerate(groups) if number not in dropped])
        # An identity's groups follow each other, at most num_batches of them: dealt out in turn, they go to batches
        # of their own (McNaughton's wrap-around rule).
        batches = kept.reshape(self._p, self.num_batches, self._k).transpose(1, 0, 2)
        return rng.permutation(batches)


def _most_batches(num_groups: NDArray[np.int64], p: int) -> int:
    """The largest B for which B batches of p different identities can be filled: Σ min(groups, B) ≥ p B."""

    def too_many(b: int) -> bool:
        return bool(np.minimum(num_groups, b).sum() < p * b)

    # The left side is concave in B: what fits is an interval from 1 on.
    return bisect_left(range(1, int(num_groups.sum()) // p + 1), True, key=too_many)
