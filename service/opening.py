"""The engine is opened in a thread that nobody waits for: the service can listen, and end, meanwhile."""

import threading
from collections.abc import Callable
from typing import Final

from starlette.datastructures import State

from service.engine import Engine
from service.instruments.instruments import Instruments
from service.settings import Settings

_LAST_STEPS_S: Final = 0.2


class Opening:
    """Opens the engine for an application, and closes it again.

    Args:
        settings: of the engine.
        state: of the application; its `engine` is None until it is open, and again once it is closed.
        on_failure: called, in the thread that opens, if the engine cannot be opened.
        instruments: what counts the engine's work.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        on_failure: Callable[[Exception], None],
        instruments: Instruments | None = None,
    ) -> None:
        self._settings, self._state, self._on_failure = settings, state, on_failure
        self._instruments = instruments or Instruments()
        self._state.engine = None
        self._ended = False
        self._lock = threading.Lock()
        # A daemon: torch and FAISS cannot be interrupted, and Python does not wait for daemons.
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)

    def start(self) -> None:
        """Begins to open the engine."""
        self._thread.start()

    def end(self) -> None:
        """Finishes what the engine has under way and closes it; one that is still being opened is closed once it is.

        Where the device hangs, the engine stays `unfinished`.
        """
        with self._lock:
            self._ended = True
            engine: Engine | None = self._state.engine
        if engine is not None and engine.close():
            self._state.engine = None

    def unfinished(self) -> bool:
        """Whether the engine is still being opened or was not closed, so that its threads are at work."""
        if self._thread.is_alive():
            self._thread.join(_LAST_STEPS_S)  # after a failure it has only to return
        return self._thread.is_alive() or self._state.engine is not None

    def _open(self) -> None:
        try:
            engine = Engine.open(self._settings, self._instruments)
        except Exception as error:
            self._on_failure(error)
            return
        with self._lock:
            if not self._ended:
                engine.serving.publish_to(self._publish)
                engine.jobs.start()
                return
        engine.close()

    def _publish(self, engine: Engine) -> None:
        self._state.engine = engine
