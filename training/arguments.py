"""What several commands take: numbers, refused with the flag's name if they cannot be meant; and data."""

import argparse
from pathlib import Path
from typing import get_args

from index.datasets.manifest import Manifest
from model.given_path import given_path
from model.number import decimal_number, whole_number
from training.datasets.dataset import Choices, VruRoles
from training.datasets.opening import KINDS, open_data


def seed(text: str) -> int:
    """A whole number that torch and NumPy both take as a seed."""
    number = whole_number(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"a seed lies between 0 and 2**63 - 1, got {text}")
    return number


def at_least_one(text: str) -> int:
    """A whole number of 1 or more."""
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def not_negative(text: str) -> float:
    """A number of 0 or more."""
    number = decimal_number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text}")
    return number


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which data is meant, for `read_data`."""
    parser.add_argument(
        "--data", type=given_path, required=True, help="a manifest, a folder per identity, or a data set's folder"
    )
    parser.add_argument("--dataset", choices=["auto", *KINDS], default="auto", help="what lies there")
    parser.add_argument("--split-seed", type=seed, default=0, help="of a data set's random splits and draws")
    parser.add_argument("--vru-roles", choices=get_args(VruRoles), default="official", help="VRU's held-out image")


def read_data(args: argparse.Namespace) -> Manifest:
    """Reads what `add_data_arguments` asked for.

    Raises:
        ManifestError, ProtocolError: it is not what it should be.
    """
    return open_given(args.data, args)


def open_given(data: Path, args: argparse.Namespace) -> Manifest:
    """Further data, read as `read_data` reads those of the arguments.

    Raises:
        ManifestError, ProtocolError: it is not what it should be.
    """
    return open_data(data, args.dataset, Choices(args.split_seed, args.vru_roles))
