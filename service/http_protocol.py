"""HTTP/1.1 as clients speak it, where uvicorn's own reading of it leaves them without an answer they can use."""

import asyncio
import json
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.access.answer_headers import REQUEST_ID, SECURITY_HEADERS
from service.access.call import choose_request_id
from service.problems import MEDIA_TYPE, problem_body

_HEARD_OUT_S = 120.0
_HEAD_S = 60.0
# Neither uvicorn nor httptools has a limit, but for an address, which httptools cannot read from 65,536 bytes on.
_MAX_HEAD_BYTES: Final = 1 << 16
_OF_THE_UPGRADE = (b"upgrade", b"connection", b"http2-settings")


class _HeadTooLargeError(Exception):
    """A head has more than `_MAX_HEAD_BYTES`."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which deals with five kinds of clients more.

    - A client that sends its whole body before it reads gets the answer that came before its end. uvicorn closes the
      connection at once where the client asked for that (``Connection: close``, HTTP/1.0, most proxies), and what is
      then still on its way breaks the connection before the answer is read.
    - A client that offers HTTP/2 (``Upgrade: h2c``, as Java's does with every request) is answered in HTTP/1.1, its
      body included, which httptools takes for the other protocol.
    - What is no HTTP is answered with a problem document, as every other error.
    - A client that connects and does not finish the head of a request is given up after a minute: it needs no key to
      hold a connection, and there are not endlessly many.
    - A client that sends a head, an extension of a chunk or a trailer without end is refused: it needs no key to fill
      the memory either.
    """

    _deaf = False
    _deaf_until = 0.0  # by the loop's clock
    _declining = False
    _head_timeout: asyncio.TimerHandle | None = None
    _num_bytes = 0  # since a request or its body began, or since the last that was of its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expects a request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects no more."""
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Expects the rest of the head."""
        super().on_message_begin()
        self._num_bytes = 0
        self._expect_head()

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body, which has limits of its own."""
        super().on_body(body)
        self._num_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Reads what came."""
        self._unset_keepalive_if_required()
        if self._deaf:
            if self.loop.time() < self._deaf_until:
                self._close_if_silent()
            else:
                self.transport.close()
            return
        self._num_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._declining:
                self._begin_anew(data[upgrade.args[0] :])
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
            else:  # CONNECT: the application says what it takes
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLargeError):
                self._refuse_head()
            else:
                self.send_400_response(_reason(error))
        # Of a head that has not come to its end.
        if self._num_bytes > _MAX_HEAD_BYTES and not self._deaf:
            self._refuse_head()
        # Blank lines, and what still comes of a body that was answered before its end, begin no request.
        if self._is_idle() and not self.transport.is_closing():
            self._close_if_silent()

    def on_headers_complete(self) -> None:
        """Hands the request over, unless it has to be read once more.

        Raises:
            _HeadTooLargeError: it is refused.
        """
        self._head_came()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > _MAX_HEAD_BYTES:
            raise _HeadTooLargeError
        self._num_bytes = 0
        offered = self.parser.should_upgrade() and not self._should_upgrade()
        self._declining = offered and self.parser.get_method() != b"CONNECT"
        if self._declining:
            return
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = cast(asyncio.Transport, _PatientTransport(self, self.cycle))

    def on_message_complete(self) -> None:
        """Notes that a request is whole."""
        self._num_bytes = 0
        if not self._declining:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Says what is wrong with bytes that are no HTTP, and reads no more."""
        self._refuse(400, "Malformed request", msg)

    def hear_out(self) -> None:
        """Ends the answers, and drops what the client still sends, until it closes, is silent or never ends."""
        self._deaf = True
        self._deaf_until = self.loop.time() + _HEARD_OUT_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._close_if_silent()

    def _is_idle(self) -> bool:
        """Whether everything was answered, and no head is awaited."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_complete and self._head_timeout is None and not self._deaf

    def _refuse_head(self) -> None:
        message = f"the head or the trailers of a request have more than {_MAX_HEAD_BYTES:,} bytes: send less in them"
        self._refuse(431, "Head too large", message)

    def _refuse(self, status: int, title: str, detail: str) -> None:
        """Answers what does not get as far as the application, and reads no more."""
        cycle: RequestResponseCycle | None = self.cycle  # of the request that these bytes belong to, or follow
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = choose_request_id(None)  # the client's own may be among what cannot be read
        document = problem_body(status, title, detail) | {"request_id": request_id}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        headers = SECURITY_HEADERS | {
            REQUEST_ID: request_id,
            "Content-Type": MEDIA_TYPE,
            "Connection": "close",
            "Content-Length": str(len(body)),
        }
        lines = [f"{name.lower()}: {value}\r\n".encode() for name, value in headers.items()]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.hear_out()

    def _expect_head(self) -> None:
        if self._head_timeout is None:
            self._head_timeout = self.loop.call_later(_HEAD_S, self._give_up)

    def _head_came(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None

    def _give_up(self) -> None:
        self._head_timeout = None
        self.transport.close()

    def _close_if_silent(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _begin_anew(self, rest: bytes) -> None:
        """Reads the request once more, without its offer of another protocol."""
        headers = [(name, value) for name, value in self.headers if name not in _OF_THE_UPGRADE]
        if any(b"close" in value.lower() for name, value in self.headers if name == b"connection"):
            headers.append((b"connection", b"close"))
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in headers:
            head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*head, b"\r\n", rest]))


class _PatientTransport:
    """The transport of one request: where it is closed before its body has come, the client is heard out first."""

    def __init__(self, protocol: PatientProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        if self._cycle.more_body and not self._protocol.transport.is_closing():
            self._protocol.hear_out()
        else:
            self._protocol.transport.close()


def _reason(error: httptools.HttpParserError) -> str:
    # The second is what parsing the address raised.
    in_address = isinstance(error, httptools.HttpParserInvalidURLError | httptools.HttpParserCallbackError)
    if in_address or "url" in str(error).lower():
        return (
            "the address of the request has characters that an address cannot have: percent-encode them, in UTF-8 "
            "(curl -G --data-urlencode 'identity=Zoë')"
        )
    return f"what came is no request of HTTP/1.1: {error}"
