"""Says in the log, at level DEBUG, when a step begins and ends that nobody outside asked for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)


@contextmanager
def logged_step(name: str) -> Iterator[None]:
    """Logs "NAME begins" and "NAME ends", whether the block raises or not."""
    _LOG.debug("%s begins", name)
    try:
        yield
    finally:
        _LOG.debug("%s ends", name)
