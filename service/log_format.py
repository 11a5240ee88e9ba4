"""Lines of the log: each names the request that it belongs to, and none has the secret of a key in it."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Final, Literal

from service.access.call import current_request_id
from service.access.key import hide_secrets

FIELDS: Final = "fields"
"""The attribute of a log record that has further fields by name; in JSON they stand beside the message."""

# What ends a line for some reader, moves a terminal's cursor, or turns the direction of what follows.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class TextFormat(logging.Formatter):
    """``time LEVEL logger [request id]: message``; outside of requests without the brackets.

    One line for each message, whatever is in it. Those of a traceback follow, indented, so that no text that a client
    has sent looks like a line of its own.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of a traceback."""
        request_id = current_request_id()
        record.request = "" if request_id is None else f" [{request_id}]"
        return hide_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The line without the traceback."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback."""
        return "\n".join(f"  {_printable(line)}" for line in super().formatException(ei).split("\n"))


class JsonFormat(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, exception, and what the line itself names."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current_request_id()) is not None:
            line["request_id"] = request_id
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return hide_secrets(json.dumps(line))


def log_format(name: Literal["text", "json"]) -> logging.Formatter:
    """The format that SANET_LOG_FORMAT names."""
    return JsonFormat() if name == "json" else TextFormat()


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
