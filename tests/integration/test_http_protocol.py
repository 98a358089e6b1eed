"""The gateway's HTTP protocol on one connection: requests that it answers, and input that it refuses."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from triagem.gateway.connections import limited_protocol
from triagem.gateway.services import GatewaySettings

MIB = 1024 * 1024
GET = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, the headers' names and the body, after a step of the event loop."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await asyncio.sleep(0)
    names = b" ".join(name for name, _ in scope["headers"])
    content = b"<%b|%b|%b>" % (scope["path"].encode(), names, body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    created = asyncio.new_event_loop()
    yield created
    created.close()


def answers(loop: asyncio.AbstractEventLoop, *parts: bytes) -> bytes:
    """All bytes that the server sends until it closes the connection."""

    async def exchange() -> bytes:
        config = uvicorn.Config(echo, ws="none", lifespan="off", log_config=None, timeout_keep_alive=1)
        protocol, state = limited_protocol(GatewaySettings()), ServerState()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            try:
                return await asyncio.wait_for(reader.read(), 30)
            finally:
                writer.close()

    return loop.run_until_complete(exchange())


def test_pipelined_requests_are_answered_in_order(loop: asyncio.AbstractEventLoop) -> None:
    received = answers(loop, GET * 50 + LAST)

    assert received.count(b" 200 ") == 51
    assert received.index(b"</first") < received.index(b"</last")


def test_the_requests_before_too_many_pipelined_ones_are_answered(loop: asyncio.AbstractEventLoop) -> None:
    received = answers(loop, GET * 500)

    assert 100 <= received.count(b" 200 ") < 500
    assert b" 400 " not in received


def test_a_complete_request_is_answered_before_the_garbage_after_it(loop: asyncio.AbstractEventLoop) -> None:
    received = answers(loop, GET + b"garbage\r\n\r\n" + LAST)

    assert received.count(b"HTTP/1.1 ") == 1
    assert b"</first|" in received


def test_what_follows_garbage_is_read_slowly_while_a_request_is_answered(loop: asyncio.AbstractEventLoop) -> None:
    disconnected = asyncio.Event()

    async def never_answers(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected.set()

    async def flood() -> tuple[int, float]:
        config = uvicorn.Config(never_answers, ws="none", lifespan="off", log_config=None)
        protocol, state = limited_protocol(GatewaySettings()), ServerState()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        sent, began = 0, loop.time()
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(GET + b"garbage\r\n\r\n")
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while sent < 128 * MIB:
                        writer.write(b" " * MIB)
                        await writer.drain()
                        sent += MIB
            writer.transport.abort()
            await disconnected.wait()
        return sent, loop.time() - began

    sent, seconds = loop.run_until_complete(flood())

    assert sent < (32 + 6 * seconds) * MIB  # the kernel's buffers, and 256 KiB in 50 ms


@pytest.mark.parametrize("whole", [True, False])
def test_trailers_do_not_become_headers(loop: asyncio.AbstractEventLoop, whole: bool) -> None:
    parts = CHUNKED + b"\r\n2\r\nab\r\n", b"0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n" + LAST
    received = answers(loop, b"".join(parts)) if whole else answers(loop, *parts)

    assert b"</body|host transfer-encoding|ab>" in received
    assert b"</last|" in received


@pytest.mark.parametrize("whole", [True, False])
def test_an_offered_upgrade_is_ignored_and_the_body_is_kept(loop: asyncio.AbstractEventLoop, whole: bool) -> None:
    offer = b"POST /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
    parts = offer, b"ab", b"cd" + LAST
    received = answers(loop, b"".join(parts)) if whole else answers(loop, *parts)

    assert b"</h2c|host connection content-length|abcd>" in received
    assert b"</last|" in received


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 100 + b"\r\n", b"too many headers"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, b"head is too large"),
        (b"GET /" + b"x" * 40_000, b"head is too large"),
        (b"\r\n" * 20_000, b"head is too large"),
        (CHUNKED + b"\r\n2;" + b"x" * 40_000, b"head is too large"),
        (CHUNKED + b"\r\n0\r\n" + b"X: 1\r\n" * 8_000, b"head is too large"),
        (CHUNKED + b"\r\n" + b"1\r\na\r\n" * 200, b"chunks are too small"),
        (CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n", b"malformed"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"malformed"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"CONNECT"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", b"malformed"),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), b"malformed"),
    ],
)
def test_malformed_or_excessive_input_is_one_answer_400(
    loop: asyncio.AbstractEventLoop, sent: bytes, reason: bytes
) -> None:
    received = answers(loop, sent)

    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 400 ") == 1
    assert reason in received


def test_a_body_that_becomes_malformed_is_one_answer_400(loop: asyncio.AbstractEventLoop) -> None:
    received = answers(loop, CHUNKED + b"\r\n2\r\nab\r\n", b"zz\r\n")

    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 400 ") == 1


def test_blanks_around_a_value_are_not_part_of_it(loop: asyncio.AbstractEventLoop) -> None:
    received = answers(loop, b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: \t 2 \t\r\nConnection: close\r\n\r\nab")

    assert b"|ab>" in received
