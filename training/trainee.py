"""The network together with what exists only to train it: one module, one forward pass, all loss terms."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.build import Network
from training import distributed
from training.build_objective import AnyObjective
from training.neck import Necks


class Trainee(nn.Module):
    """Network, necks and objective.

    Args:
        network: the one that is trained.
        necks: between its branches and the losses, or None.
        objective: with classifiers for the training identities.
        dtype: of the network's matrix products; losses are computed in float32.
    """

    def __init__(self, network: Network, necks: Necks | None, objective: AnyObjective, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.necks = necks
        self.objective = objective
        self._dtype = dtype

    def forward(
        self, images: Tensor, labels: Tensor, annotations: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """What the trunk sees (N, 3, S, W) and labels (N,) -> the objective's terms, and the map's theta (N, 2, 3).

        Methods that learn from annotations also take their class indices (N, A).

        Among several processes the images are this process's, and the terms those of the whole batch.
        """
        # A cache of converted weights would outlive the step that is being captured.
        with torch.autocast(images.device.type, self._dtype, self._dtype is not torch.float32, cache_enabled=False):
            branches, theta = self.network.branch_features(images)
        branches = [branch.float() for branch in branches]
        if self.necks is not None:
            branches = self.necks(branches)
        if self.network.config.unit_length:
            branches = [F.normalize(branch) for branch in branches]
        gathered = [distributed.gather(branch) for branch in branches]
        all_annotations = None if annotations is None else distributed.gather(annotations)
        terms = self.objective(gathered, distributed.gather(labels), all_annotations)
        return terms, theta
