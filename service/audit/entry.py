"""One entry of the audit log."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from service.access.key import hide_secrets

MAX_IDS: Final = 100
"""Ids of records that one entry names; the count says how many there were."""

_MAX_TEXT: Final = 4000


@dataclass(frozen=True)
class Entry:
    """What somebody did, or tried to do.

    Attributes:
        action: the name of the route (``delete``), of a command (``key.create``), or ``refused``.
        key, caller: the id and the name of the key; without one, None and ``anonymous``, ``command`` or ``unknown``.
        peer: the address that it came from.
        status: of the answer; None while it is only about to be done.
        facts: what else is to be said, as JSON: never an image, nothing of a key's secret.
        seq: rises with each entry; None until it is stored.
    """

    action: str
    caller: str
    key: str | None = None
    peer: str | None = None
    request_id: str | None = None
    status: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seq: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        at = self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {**vars(self), "at": at}


def bounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as they are stored: without secrets of keys, at most `MAX_IDS` ids, texts of at most 4,000 characters."""
    bounded_facts = {name: _bounded(value) for name, value in facts.items() if value not in (None, [], {})}
    hidden: dict[str, Any] = json.loads(hide_secrets(json.dumps(bounded_facts)))
    return hidden


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        # Halves of characters, which JSON may name, cannot be stored.
        text = value.encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
    if isinstance(value, list | tuple):
        return [_bounded(one) for one in value[:MAX_IDS]]
    if isinstance(value, dict):
        return {_bounded(str(name)): _bounded(one) for name, one in list(value.items())[:MAX_IDS]}
    if value is None or isinstance(value, bool | int | float):
        return value
    return _bounded(str(value))  # a time, a circle
