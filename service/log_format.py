"""Lines of the log: each names the request that it belongs to, and none has the secret of a key in it."""

import logging

from service.access.call import current_request_id
from service.access.key import hide_secrets


class LogFormat(logging.Formatter):
    """``time LEVEL logger [request id]: message``; outside of requests without the brackets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of a traceback."""
        request_id = current_request_id()
        record.request = "" if request_id is None else f" [{request_id}]"
        return hide_secrets(super().format(record))
