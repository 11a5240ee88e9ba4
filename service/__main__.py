"""Runs the service: ``python -m service``. Settings come from ``SANET_`` variables, see ``--help``."""

import argparse
import logging
import signal
import sys

import uvicorn

from index.gallery import GalleryError
from model.checkpoint import CheckpointError
from service.app import create_app
from service.settings import Settings, SettingsError

_LOG = logging.getLogger(__name__)
_SHUTDOWN_S = 30


def main() -> int:
    """Serves until SIGINT or SIGTERM; exit code 1 if the service cannot start, 2 for wrong settings."""
    lines = [f"  SANET_{name.upper():16} {field.description}" for name, field in Settings.model_fields.items()]
    argparse.ArgumentParser(
        prog="python -m service",
        description="Serves the gallery over HTTP. Settings are environment variables:",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"service: {error}\n")
        return 2
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            settings.host,
            settings.port,
            log_level=settings.log_level,
            log_config=None,
            # A client that never finishes its upload does not keep the service from stopping.
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )
    # uvicorn stops on these and then raises them once more, for whoever had the handler before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit:
        return 1  # it could not listen, and has logged why
    for failure in failures:
        if not isinstance(failure, CheckpointError | GalleryError | ValueError | OSError):
            _LOG.error("the service cannot start", exc_info=failure)
        sys.stderr.write(f"service: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
