import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.body_limit import BodyLimit


class Client:
    """Sends parts of a body, and nothing more once they are sent."""

    def __init__(self, *parts: bytes, whole: bool = True, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": not whole or i < len(parts) - 1}
            for i, part in enumerate(parts)
        ]
        self.num_read = 0
        self.answer: list[Message] = []
        self.scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/x", "headers": list(headers)}

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}
        self.num_read += 1
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    async def ask(self, limit: int = 10) -> list[bytes]:
        """What an application behind the limit reads."""
        read: list[bytes] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            while (message := await receive())["type"] == "http.request":
                read.append(message["body"])
            read.append(b"gone")

        await BodyLimit(application, lambda path: limit)(self.scope, self.receive, self.send)
        return read


async def test_a_body_within_the_limit_goes_through() -> None:
    assert await Client(b"12345", b"67890").ask() == [b"12345", b"67890", b"gone"]


async def test_a_body_that_is_announced_too_large_is_refused_unread() -> None:
    client = Client(b"1" * 11, headers=((b"content-length", b"11"),))
    assert await client.ask() == []
    assert client.num_read == 0
    assert client.answer[0]["status"] == 413


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    with pytest.raises(HTTPException) as refused:
        await Client(b"12345", b"678901").ask()
    assert refused.value.status_code == 413


async def test_a_client_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.body_limit.STALLED_S", 0.05)
    with pytest.raises(HTTPException) as refused:
        await Client(b"123", whole=False).ask()
    assert refused.value.status_code == 408


async def test_waiting_for_a_client_to_go_away_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.body_limit.STALLED_S", 0.05)
    assert await Client(b"123").ask() == [b"123", b"gone"]
