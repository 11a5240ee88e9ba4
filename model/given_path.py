"""A path as a flag gives it."""

import argparse
from pathlib import Path


def given_path(text: str) -> Path:
    """The path in a flag's text.

    Raises:
        argparse.ArgumentTypeError: the text is empty, as of a variable that is not set; it would be the current folder.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("a path was expected, and it is empty")
    return Path(text)
