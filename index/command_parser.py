"""The command lines of this program: help that keeps the module's text, and an error in one line."""

import argparse
from typing import Any, NoReturn


class CommandParser(argparse.ArgumentParser):
    """argparse's parser, whose errors are one line: the usage of a command with sixty flags would hide them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"formatter_class": argparse.RawDescriptionHelpFormatter} | kwargs)

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit code 2 and ``prog: error: message; see --help``."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.splitlines())}; see --help\n")
