"""Two halves of a data set's identities: one to choose by, one to report once."""

import hashlib
from typing import Final, Literal

Half = Literal["development", "final"]
_SALT: Final = "real-half:"


def half_of(identity: str) -> Half:
    """Which half an identity belongs to: the first bit of a hash of its name, whatever else the data holds."""
    first_byte = hashlib.sha256(f"{_SALT}{identity}".encode()).digest()[0]
    return "final" if first_byte >> 7 else "development"
