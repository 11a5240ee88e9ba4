"""Writes of a request: on the gallery that serves, also where another one takes its place while they wait."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request

from index.gallery.errors import ReplacedError
from service.disconnect import while_connected
from service.engine import Engine, lease_of

T = TypeVar("T")


async def write(request: Request, work: Callable[[Engine], T]) -> T:
    """What `work` gives, in the thread that writes; done again by the engine that serves where its own was replaced.

    Raises:
        BusyError: too much waits already.
        ClientGoneError: the client has gone.
        ReplacedError: nothing has taken the place of what served: the service is being closed.
    """
    engine = lease_of(request).engine
    async with while_connected(request):
        while True:
            try:
                return await engine.pools.write.run(work, engine)
            except ReplacedError:
                engine = successor_of(engine, request)


def successor_of(replaced: Engine, request: Request) -> Engine:
    """The engine that serves now, which the request holds from now on.

    Raises:
        ReplacedError: it is the same: the service is being closed.
    """
    engine = lease_of(request).renew()
    if engine is replaced:
        raise ReplacedError
    return engine
