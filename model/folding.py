"""BatchNorm folded into the convolution before it: in evaluation it is a factor and a sum per channel."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norms(network: nn.Module, images: Tensor) -> int:
    """Folds, in place, every BatchNorm that reads what a convolution has put out, and nothing else in between.

    Which ones do is observed, not guessed from names: the network embeds the images once. Nothing else may read what
    such a convolution puts out, as in all networks here.

    Args:
        network: in evaluation mode.
        images: (N, 3, S, S), what it takes; the values do not matter.

    Returns:
        How many were folded.
    """
    pairs = _pairs(network, images)
    for conv, norm in pairs:
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, var, norm.eps, norm.weight, norm.bias
        )
    folded = {norm for _, norm in pairs}
    for module in list(network.modules()):
        for name, child in module.named_children():
            if child in folded:
                setattr(module, name, nn.Identity())
    return len(pairs)


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution that is run once in a forward pass, and the BatchNorm that reads its output."""
    made_by: list[tuple[Tensor, int, nn.Conv2d]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note_output(conv: nn.Conv2d, _: Any, output: Tensor) -> None:
        made_by.append((output, output._version, conv))

    def note_input(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        # What was changed in place meanwhile, as by an activation, has another version.
        pairs.extend(
            (conv, norm) for output, version, conv in made_by if output is inputs[0] and output._version == version
        )

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(note_input))
    try:
        with torch.inference_mode(False), torch.no_grad():  # inference mode counts no versions
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    times_run = Counter(conv for _, _, conv in made_by)
    return [(conv, norm) for conv, norm in pairs if times_run[conv] == 1]
