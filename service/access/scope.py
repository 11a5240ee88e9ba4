"""What a key may do: each scope includes those before it."""

from enum import IntEnum


class Scope(IntEnum):
    """A rising order: who may enrol may read, and an administrator may do everything."""

    OPEN = 0
    READ = 1
    ENROL = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """As it is written: ``read``."""
        return self.name.lower()


KEY_SCOPES = {scope.label: scope for scope in (Scope.READ, Scope.ENROL, Scope.ADMIN)}
"""The scopes that keys have, by how they are written."""
