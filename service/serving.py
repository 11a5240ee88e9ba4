"""What serves now: requests take it when they begin, and it can be exchanged for another between two of them."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

from service.jobs.running_job import JobInterrupted

if TYPE_CHECKING:
    from service.engine import Engine

_LOG = logging.getLogger(__name__)

# A request that still holds what served before, such as an upload that does not end, is not waited for any longer.
_PATIENCE_S: Final = 300.0

LEASE: Final = "sanet.lease"
"""Where a request's scope has its `Lease`."""

T = TypeVar("T")


class Lease:
    """A request's hold on the engine that answers it, from its beginning until its answer begins."""

    def __init__(self, serving: "Serving") -> None:
        self._serving = serving
        self._is_held = True
        self.engine: Engine = serving._hold()

    def renew(self) -> "Engine":
        """Takes what serves now instead."""
        if self._is_held:
            self._serving._leave(self.engine)
        self.engine, self._is_held = self._serving._hold(), True
        return self.engine

    def release(self) -> None:
        """It is not needed any more; twice is the same as once."""
        if self._is_held:
            self._is_held = False
            self._serving._leave(self.engine)


class Serving:
    """Holds the engine of a service. Safe to call from any thread.

    Attributes:
        closed_last: what is released when the service has closed all else, such as the lock of the data folder.
    """

    def __init__(self, closed_last: ExitStack) -> None:
        """Nothing serves yet: `begin` says what."""
        self.closed_last = closed_last
        self._engine: Engine | None = None
        self._publish: Callable[[Engine], object] = lambda _: None
        self._changed = threading.Condition()
        self._leases: Counter[int] = Counter()
        self._replaced: list[Engine] = []
        self._num_replaced = 0
        self._closing = False
        # Of the priority of whoever opens the service: a thread that a job starts has the job's, which is the lowest.
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[object]] | None] = SimpleQueue()
        threading.Thread(target=self._call, name="serving", daemon=True).start()

    @property
    def engine(self) -> "Engine":
        """What serves now."""
        if self._engine is None:
            raise RuntimeError("nothing serves yet")
        return self._engine

    @property
    def has_replaced(self) -> bool:
        """Whether something that served before is still open."""
        return self._num_replaced > 0

    def begin(self, engine: "Engine") -> None:
        """The first that serves."""
        self._engine = engine

    def publish_to(self, publish: Callable[["Engine"], object]) -> None:
        """Tells somebody what serves, now and whenever it is exchanged."""
        self._publish = publish
        publish(self.engine)

    def lease(self) -> Lease:
        """Holds what serves now."""
        return Lease(self)

    def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, in a thread that has no job's low priority, nor any that it starts.

        Raises:
            JobInterrupted: the service is being closed.
        """
        if self._closing:
            raise JobInterrupted
        future: Future[T] = Future()
        self._calls.put((call, future))  # type: ignore[arg-type] # each future with its own call
        return future.result()

    def exchange(self, engine: "Engine", on_closed: Callable[[], None]) -> bool:
        """From now on `engine` serves; False, and nothing was done, where the service is being closed.

        What served before is closed once no request holds it, and then `on_closed` is called.
        """
        with self._changed:
            if self._closing:
                return False
            before, self._engine = self.engine, engine
            self._publish(engine)
            self._replaced.append(before)
            self._num_replaced += 1
        threading.Thread(target=self._close_replaced, args=(before, on_closed), name="replaced", daemon=True).start()
        return True

    def close(self) -> bool:
        """Finishes what is under way and closes all; whether every device came back from its last batch."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        engine = self.engine
        engine.jobs.stop()
        ended = engine.worker.close()
        engine.jobs.close()
        engine.pools.close()
        with self._changed:
            replaced, self._replaced = self._replaced, []
        for before in replaced:
            ended = before.worker.close() and ended
            before.gallery.close()
        engine.gallery.close()
        self.stop()
        self.closed_last.close()
        return ended

    def stop(self) -> None:
        """Ends the thread of `run`, after what it is at."""
        self._calls.put(None)

    def _hold(self) -> "Engine":
        with self._changed:
            engine = self.engine
            self._leases[id(engine)] += 1
            return engine

    def _leave(self, engine: "Engine") -> None:
        with self._changed:
            self._leases[id(engine)] -= 1
            self._changed.notify_all()

    def _close_replaced(self, engine: "Engine", on_closed: Callable[[], None]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._leases[id(engine)], _PATIENCE_S)
            if self._closing or engine not in self._replaced:  # `close` does it
                return
            self._replaced.remove(engine)
        try:
            engine.worker.close()
            engine.gallery.close()
        except Exception:  # no one waits for this thread: the log is where it is seen
            _LOG.exception("the model %.12s, which served before, could not be closed", engine.model.fingerprint)
            return
        finally:
            with self._changed:
                self._num_replaced -= 1
        _LOG.info("the model %.12s, which served before, is closed", engine.model.fingerprint)
        on_closed()

    def _call(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, future = asked
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
            del call, future  # nothing that it opened is held here
