"""The container's health check: ``python -m service.healthcheck`` ends with 0 if the service is ready, else with 1.

It reads the same settings as the service, and so asks the address that the service listens on.
"""

import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Final

from service.settings import Settings, SettingsError

_TIMEOUT_S: Final = 4
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)


def main() -> int:
    """The command."""
    try:
        settings = Settings.from_environment()
        # Not urllib, which would ask a proxy that the environment names.
        host = _EVERY_ADDRESS.get(settings.host, settings.host)
        with closing(HTTPConnection(host, settings.port, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
    except (SettingsError, HTTPException, OSError) as error:
        sys.stderr.write(f"service.healthcheck: {error}\n")
        return 1
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
