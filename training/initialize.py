"""Writes the checkpoint before the first training step: fresh weights from a seed, or pre-trained ones.

It embeds and aligns like any other, and says of itself that it is untrained: for trying the service out, and as the
baseline that training has to beat.

    python -m training.initialize --out FILE [--seed 0] [--backbone resnet50] [--trunk-weights NAME_OR_FILE]
"""

import json
import sys
from pathlib import Path
from typing import get_args

import torch

from index.command_parser import CommandParser
from model import lite0_weights
from model.build import build_network
from model.checkpoint import save_checkpoint
from model.config import ARCHITECTURES, Backbone, ConfigError, NetworkConfig, SANetConfig, Stride, Transform
from model.given_path import given_path
from model.number import decimal_number, whole_number
from model.preprocessing import Preprocessing
from model.pretrained import PretrainedError, load_pretrained
from training.arguments import seed


def initialize(out: Path, config: NetworkConfig, *, seed: int = 0, trunk_weights: str | None = None) -> str:
    """Writes an untrained checkpoint and returns its fingerprint: the same for the same arguments.

    EfficientNet-Lite0 gets the normalisation of its published weights, the ResNets that of torchvision's.

    Raises:
        PretrainedError: `trunk_weights` do not fit the network.
    """
    preprocessing = Preprocessing()
    if config.backbone == "efficientnet_lite0":
        preprocessing = Preprocessing(mean=lite0_weights.MEAN, std=lite0_weights.STD)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would set the generators of GPUs too
        network = build_network(config, preprocessing)
    if trunk_weights is not None:
        load_pretrained(network, trunk_weights)
    # A weight file is known by its name: its folder is nobody's business.
    source = None if trunk_weights is None else Path(trunk_weights).name
    training = {"trained": False, "data": None, "seed": seed, "trunk_weights": source}
    return save_checkpoint(out, network, preprocessing, training)


def main() -> int:
    """The command; exit code 2 for wrong arguments, 1 where the weights do not fit."""
    parser = CommandParser(prog="python -m training.initialize", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=given_path, required=True, help="the .safetensors file to write")
    parser.add_argument("--seed", type=seed, default=0, help="of the fresh weights (default 0)")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="sanet")
    parser.add_argument("--backbone", choices=get_args(Backbone), default="resnet50")
    parser.add_argument(
        "--num-parts", type=whole_number, default=2, help="M, parts per spatial branch (paper: 2, 4, 6)"
    )
    parser.add_argument("--transform", choices=get_args(Transform), default="affine", help="the family of theta")
    parser.add_argument(
        "--trunk-weights", help="a .pth/.safetensors file, or a name: torchvision's, or efficientnet_lite0"
    )
    parser.add_argument("--stride", choices=get_args(Stride), default="3x3", help='"1x1" for ResNet-v1 weights')
    parser.add_argument(
        "--bn-eps", type=decimal_number, default=0.0, help="of the weights (Keras 1.001e-5); 0 is the backbone's own"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    args = parser.parse_args()
    try:
        config: NetworkConfig
        if args.architecture == "sanet":
            config = SANetConfig(args.backbone, args.stride, args.bn_eps, args.num_parts, args.transform)
        else:
            config = ARCHITECTURES[args.architecture](args.backbone, args.stride, args.bn_eps)
        fingerprint = initialize(args.out, config, seed=args.seed, trunk_weights=args.trunk_weights)
    except ConfigError as error:
        parser.error(str(error))
    except (PretrainedError, OSError) as error:
        sys.stderr.write(f"training.initialize: {error}\n")
        return 1
    result = {"checkpoint": str(args.out), "fingerprint": fingerprint, "trained": False}
    sys.stdout.write((json.dumps(result) if args.json else f"{args.out}: untrained, model {fingerprint}") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
