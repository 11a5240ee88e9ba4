"""The folder of a gallery, as a command's flag names it."""

import argparse
from pathlib import Path

from index.embedded.data_folder import DATABASE
from model.given_path import given_path


def gallery_folder(text: str) -> Path:
    """The path in a flag's text, where a gallery is.

    Raises:
        argparse.ArgumentTypeError: there is neither a database nor a folder of images.
    """
    folder = given_path(text)
    if not (folder / DATABASE).is_file() and not (folder / "images").is_dir():
        raise argparse.ArgumentTypeError(f"there is no gallery in {text!r}")
    return folder
