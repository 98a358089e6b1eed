"""The attacks: each is a function that one hostile connection repeats."""

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.support.gateway_process import MARK, head

MIB: Final = 1024 * 1024
_LISTS: Final = b"[" + b"[]," * (8 * MIB // 3 - 1) + b"[]]"
_ANSWER_S: Final = 10.0
_DISCONNECT_S: Final = 45.0  # longer than the gateway's limit for an unread answer, 30 s


@dataclass
class Target:
    """The gateway under attack, the attackers' credentials, and the answers that they got."""

    port: int
    client: str
    key: str  # a valid key, for attacks of a customer
    session: str  # a valid console session
    random: random.Random
    statuses: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def connect(self, *, buffer: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. With a small receive `buffer`, unread answers soon fill the gateway's send buffer."""
        connection = socket.socket()
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.bind((self.client, 0))
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=connection, limit=buffer or 2**16)

    async def exchange(self, *parts: bytes) -> None:
        """Send bytes on a new connection, and check the answer."""
        reader, writer = await self.connect()
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            await self.read(reader)
        except OSError:
            self.count("closed")
        finally:
            writer.transport.abort()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Count and check the answer: 5xx only with Retry-After, no content of the request, and no hang."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await reader.readuntil(b"\r\n\r\n")
                answer += await reader.read(65_536) if b"content-length: 0" not in answer.lower() else b""
        except asyncio.IncompleteReadError:
            self.count("closed")
            return
        except TimeoutError:
            self.count("hang")
            self.faults.append("no answer")
            return
        status = answer.split()[1].decode()
        self.count(status)
        if status.startswith("5") and (status not in {"503", "507"} or b"retry-after" not in answer.lower()):
            self.faults.append(answer.splitlines()[0].decode())
        if MARK in answer:
            self.faults.append(f"{status} repeats what was sent")

    def count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


@dataclass(frozen=True, slots=True)
class Attack:
    """`act` is one round of one connection. Connections in the short and in the full form."""

    name: str
    short: int
    full: int
    act: Callable[[Target], Awaitable[None]]


async def login_form(target: Target) -> None:
    fields = b"a=%41&" * (8 * MIB // 6)
    await target.exchange(head("/console/login", len(fields)), fields)


async def json_without_key(target: Target) -> None:
    await target.exchange(head("/predict", len(_LISTS), None, "Content-Type: application/json"), _LISTS)


async def json_with_key(target: Target) -> None:
    await target.exchange(head("/v1/tickets", len(_LISTS), target.key), _LISTS)


async def unfinished_large_body(target: Target) -> None:
    await target.exchange(head("/v1/tickets", 8 * MIB, target.key), b" " * (8 * MIB - 1))


async def unfinished_small_body(target: Target) -> None:
    await target.exchange(head("/v1/webhooks/signed", 60_000, None, "X-Triagem-Signature: sha256=00"), b" " * 59_000)


async def silence(target: Target) -> None:
    await target.exchange()


async def slow_head(target: Target) -> None:
    async def send() -> None:
        for byte in b"POST /v1/tickets HTTP/1.1\r\nX-Slow: xxxxxxxxxxxxxxxxxxxxxxxxxxxx":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.5)

    reader, writer = await target.connect()
    sending = asyncio.create_task(send())
    try:
        await target.read(reader)
    except OSError:
        target.count("closed")
    finally:
        sending.cancel()
        writer.transport.abort()


async def blanks(target: Target) -> None:
    await target.exchange(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX:" + b" " * 15_000 + b"\0\r\n\r\n")


async def tiny_chunks(target: Target) -> None:
    start = b"POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    await target.exchange(start + f"Authorization: Bearer {target.key}\r\n\r\n".encode(), b"1\r\n \r\n" * 300_000)


async def endless_part(target: Target) -> None:
    form = [f"Cookie: triagem_session={target.session}", "Content-Type: multipart/form-data; boundary=x"]
    body = b"--x\r\n" + b"A: b\r\n" * MIB
    await target.exchange(head("/console/start/upload", len(body), None, *form), body)


async def unread_answers(target: Target) -> None:
    _, writer = await target.connect(buffer=4096)
    try:
        async with asyncio.timeout(_DISCONNECT_S):
            while True:
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
                await writer.drain()
    except TimeoutError:  # before OSError, of which it is a subclass
        target.count("hang")
        target.faults.append("not disconnected")
    except OSError:
        target.count("closed")
    finally:
        writer.transport.abort()


async def forged_signature(target: Target) -> None:
    body = json.dumps({"id": 1, "text": MARK.decode() + "x" * (2 * MIB - 200)}).encode()
    await target.exchange(head("/v1/webhooks/signed", len(body), None, "X-Triagem-Signature: sha256=00"), body)


async def many_records(target: Target) -> None:
    body = b"[" + b'{"id":1,"text":"oi"},' * 40_000 + b'{"id":1,"text":"oi"}]'
    await target.exchange(head("/v1/webhooks/batches", len(body), None, "X-Triagem-Token: 0123456789abcdef"), body)


async def pipelined_requests(target: Target) -> None:
    reader, writer = await target.connect()
    try:
        writer.write(head("/nowhere", 0, method="GET") * 500)
        await target.read(reader)
    finally:
        writer.transport.abort()


async def random_request(target: Target) -> None:
    """A request of random parts, each valid or malformed."""
    pick = target.random.choice
    key = pick((None, target.key, MARK.decode()))
    headers = [f"Cookie: triagem_session={target.session}", "Connection: close", *pick(_HEADERS)]
    path = f"{pick(_PATHS)}?{pick(_NAMES)}={pick(_VALUES)}&{pick(_NAMES)}={pick(_VALUES)}"
    body = pick(_BODIES)
    await target.exchange(head(path, len(body), key, *headers, method=pick(_METHODS)), body)


_METHODS: Final = (*["GET"] * 8, *["POST"] * 8, "PUT", "DELETE", "HEAD", "OPTIONS", "BREW")
_PATHS: Final = (
    "/", "/v1/tickets", "/v1/results", "/v1/tickets/a/b", "/v1/tickets/%00/%00", "/v1/webhooks/signed", "/predict",
    "/predict/0f3c6f1de3a54cf09fb6d8a7e1b5c2d4", "/health/live", "/autoscale", "/docs", "/openapi.json", "//",
    "/%ff%fe", "/v1/webhooks/batches", "/console", "/console/login", "/console/tickets", "/console/ticket",
    "/console/review",
    "/console/overview", "/console/models", "/console/model", "/console/operations", "/console/dead-letter",
    "/console/static/../../app.py", "/console/rollback",
)  # fmt: skip
_NAMES: Final = (
    "source", "id", "label", "after", "limit", "format", "since", "until", "query", "band", "skipped", "count",
    "model", "message", "version", "rule", "lang", "saved", "lane", "token", "next",
)  # fmt: skip
_VALUES: Final = (
    "", "1", "-1", "%00", "%C2%B2", "9" * 5000, "x" * 65, "x" * 256, "%ED%A0%80", "%F0%9F%98%80", "nan",
    "%0d%0aX:%20y", "2026-13-01", "9999-12-31", "0001-01-01T00:00:00%2B14:00", "%27%3B--", "%3Cscript%3E",
    "//example.com", "csv", "WzFd",
)  # fmt: skip
_HEADERS: Final[tuple[list[str], ...]] = (
    [], ["Content-Type: application/json"], ["Content-Type: application/x-www-form-urlencoded"],
    ["Idempotency-Key: \xff"], ["X-Request-Id: " + "x" * 9000], ["Accept-Language: " + "pt-BR," * 1000],
    ["Expect: 100-continue"], ["Upgrade: websocket", "Connection: Upgrade"],
    ["X-Forwarded-For: " + "1.1.1.1," * 500],
    ["Cookie: " + "a=b;" * 2000], ["Sec-Fetch-Site: cross-site"], ["Transfer-Encoding: chunked"],
    ["Range: bytes=0-,1-"],
)  # fmt: skip
_BODIES: Final = (
    b"", b"{", b"[]", b"null", b"[" * 50_000, b"9" * 50_000, b'{"text": "oi"}', b'{"text": "\\ud800"}',
    b"\x00\xff" * 100,
    b'{"source": "s", "external_id": "\\u0000", "text": "\\u0000"}', b'{"id": 1, "text": {"a": NaN}}',
    b"id=%C2%B2&action=drop", b"id=" + b"9" * 5000, b"key=" + MARK, b"a=%41&" * 10_000,
    b'[{"id": ' + MARK + b"}]",
    b'{"source": "' + MARK + b'", "external_id": [], "text": "' + MARK + b'"}', b"\xff\xfe[\x00]\x00",
)  # fmt: skip

ATTACKS: Final = (
    Attack("a login form of 8 MiB", 2, 8, login_form),
    Attack("8 MiB of JSON lists to /predict, no key", 2, 8, json_without_key),
    Attack("8 MiB of JSON lists to /v1/tickets, valid key", 2, 8, json_with_key),
    Attack("unfinished bodies of 8 MiB, valid key", 5, 20, unfinished_large_body),
    Attack("unfinished bodies of 60 kB to a webhook", 20, 90, unfinished_small_body),
    Attack("silent connections", 150, 505, silence),
    Attack("heads sent byte by byte", 50, 505, slow_head),
    Attack("15 kB of blanks in a header", 2, 8, blanks),
    Attack("bodies in chunks of one byte, valid key", 2, 8, tiny_chunks),
    Attack("uploads of 6 MiB without a file, valid session", 2, 8, endless_part),
    Attack("answers that nobody reads", 5, 50, unread_answers),
    Attack("2 MiB webhooks with a forged signature", 2, 8, forged_signature),
    Attack("a webhook of 40,000 records, valid token", 1, 4, many_records),
    Attack("pipelined requests", 2, 8, pipelined_requests),
    Attack("random requests, some with a valid key or session", 8, 16, random_request),
)
