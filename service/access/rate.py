"""How a rate of requests is written, in settings and with keys."""

from typing import Final

RATE: Final = r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$"
"""What matches: ``600/minute``."""
