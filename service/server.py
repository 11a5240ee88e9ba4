"""The process that serves: it listens, loads behind that, and ends on a signal, whatever it is doing."""

import logging
import os
import signal
import sys
from typing import Final

import torch
import uvicorn

from index.gallery.errors import GalleryError
from model.checkpoint import CheckpointError
from model.cores import usable_cores
from model.embeddings import EmbeddingError
from service.app import create_app
from service.device import DeviceError
from service.draining_server import DrainingServer
from service.http_protocol import PatientProtocol
from service.log_format import log_format
from service.settings import Settings
from service.tracing import TracingError, end_tracing, provider_of_environment

_LOG = logging.getLogger(__name__)

_SHUTDOWN_S: Final = 30

EXIT_DEVICE_BROKEN: Final = os.EX_TEMPFAIL
"""Of a process that cannot use its device any more: 75. Whatever runs it should start it again."""

# Their messages say all that is to be said; any other error is logged with its traceback.
_EXPECTED: Final = (CheckpointError, GalleryError, EmbeddingError, DeviceError, ValueError, OSError)


def serve(settings: Settings) -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP; exit code 1 if the service cannot start, `EXIT_DEVICE_BROKEN` if it ends.

    It does not return, but ends the process, where the model is still being loaded, its device is broken or requests
    were cut off by a second SIGINT: the threads of torch and FAISS cannot be stopped, and Python would wait for them or
    crash with them.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(log_format(settings.log_format))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    failures: list[Exception] = []

    def fail(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    def stop(*_: object) -> None:
        server.stop()

    def tell(reason: str) -> None:
        """Says to people why it does not serve; where programs read the log, as a line of it."""
        if settings.log_format == "json":
            _LOG.error("%s", reason)
        else:
            sys.stderr.write(f"service: {reason}\n")

    try:
        tracer_provider = provider_of_environment()
    except TracingError as error:
        tell(str(error))
        return 1
    app = create_app(settings, fail, tracer_provider)
    server = DrainingServer(
        uvicorn.Config(
            app,
            settings.host,
            settings.port,
            http=PatientProtocol,
            ws="none",
            proxy_headers=False,  # the application believes those of SANET_TRUSTED_PROXIES
            server_header=False,
            log_level=settings.log_level,
            log_config=None,
            access_log=False,  # `AccessLog` writes it
            # A client that never finishes its upload does not keep the service from stopping.
            timeout_graceful_shutdown=_SHUTDOWN_S,
        ),
        settings.drain_s,
        is_serving=lambda: app.state.engine is not None,
        broken=lambda: None if app.state.engine is None else app.state.engine.worker.device_broken,
    )
    app.state.is_stopping = lambda: server.is_stopping
    # It waits for answers under way, and events would go on for as long as their job.
    app.state.is_closing = lambda: server.should_exit
    # uvicorn has handlers of its own while it runs. These count before, and uvicorn then stops as soon as it has
    # started; and afterwards, when it raises the signals that it got once more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    # Of a terminal that is closed; uvicorn has no handler for it, and nohup has it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, stop)
    try:
        server.run()
        exit_code = 0
    except SystemExit:
        exit_code = 1
        # uvicorn has logged why, and not always of which address.
        tell(
            f"it cannot listen on SANET_HOST={settings.host} SANET_PORT={settings.port}: set an address "
            "of this machine, without a port, and a port that is free"
        )
    for failure in failures:
        exit_code = 1
        if not isinstance(failure, _EXPECTED):
            _LOG.error("the service cannot start", exc_info=failure)
        tell(str(failure))
    if server.breakdown is not None:
        exit_code = EXIT_DEVICE_BROKEN
        tell(server.breakdown)
    end_tracing(tracer_provider)
    if server.breakdown is not None or app.state.opening.unfinished():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code
