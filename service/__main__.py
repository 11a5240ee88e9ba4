"""Runs the service: ``python -m service``. Settings come from ``SANET_`` variables, see ``--help``."""

import os
import signal
import sys


def main() -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP.

    The exit code is 1 if the service cannot start, 2 for wrong settings, and 75 where it ended by itself, because its
    process cannot use the device any more, to be started again.
    """
    # First of all: from the first process of a container, the kernel keeps every signal that it has no handler for.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _end_at_once)
    from index.command_parser import CommandParser
    from service.access.errors import KeyStoreError
    from service.access.listening import OpenToOthersError, require_keys_if_public
    from service.settings import Settings, SettingsError

    CommandParser(
        prog="python -m service",
        description="Serves the gallery over HTTP. Settings are environment variables:",
        epilog=Settings.describe(),
    ).parse_args()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"service: {error}\n")
        return 2
    try:
        address = settings.published or settings.host
        require_keys_if_public(settings.auth, address, settings.data_dir, settings.database_address)
    except (OpenToOthersError, KeyStoreError) as error:
        sys.stderr.write(f"service: {error}\n")
        return 1
    # Imported here because it takes seconds, through torch: signals count meanwhile, and --help needs none of it.
    from service.server import serve

    return serve(settings)


def _end_at_once(*_: object) -> None:
    """Nothing is open yet that would have to be closed."""
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
