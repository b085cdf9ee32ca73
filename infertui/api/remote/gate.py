"""What stands before the application where it listens on TCP: an ASGI application of its own.

Nothing of a request but its head is looked at before it has shown a token. One that is refused is answered with a
`Problem`, as errors of a runner are, and its connection is closed.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from infertui.api.errors import AccessError
from infertui.api.remote.access import Role, bearer, is_loopback, is_same_origin, role_of
from infertui.api.remote.failures import Failures
from infertui.api.wire import Problem, problem_of

BODY_S = 60.0
"""Seconds for the body of a request to arrive."""


class Gate:
    """Passes a request on to the application that its token opens. `loopback`: answer to names of the loopback alone.

    A page of another site can have a browser send requests to any address, by a name of its own, too; without TLS
    nothing but the names in a request tells those from a client's.
    """

    def __init__(
        self,
        apps: Mapping[Role, ASGIApp],
        tokens: Mapping[Role, str],
        *,
        loopback: bool,
    ) -> None:
        self._apps = apps
        self._tokens = tokens
        self._loopback = loopback
        self._failures = Failures(asyncio.get_running_loop().time)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        client = scope.get("client")
        try:
            role = self._admit(scope["headers"], client[0] if client else "")
        except _Refused as refused:
            await _answer(send, refused)
            return
        body = _Body(receive, send, BODY_S)
        await self._apps[role](scope, body.receive, body.send)

    def _admit(self, headers: Any, address: str) -> Role:
        """What this request may do. Raises _Refused."""
        host, origin = _only(headers, b"host") or "", _only(headers, b"origin")
        if self._loopback and not is_loopback(host):
            raise _Refused(403, "this runner answers to names of the loopback alone, such as 127.0.0.1 and localhost")
        if not is_same_origin(origin, host):
            raise _Refused(403, "this runner answers no pages of other sites")
        if wait_s := self._failures.wait_s(address):
            told = f"too many requests of this address had no token, or a wrong one: wait {math.ceil(wait_s)} s"
            raise _Refused(429, told, headers={"retry-after": str(math.ceil(wait_s))})
        token = bearer(_only(headers, b"authorization") or "")
        role = role_of(token, self._tokens) if token else None
        if role is None:
            self._failures.failed(address)
            told = "the token is not known here" if token else "a token is wanted: Authorization: Bearer TOKEN"
            raise _Refused(
                401,
                told,
                remedy="The runner's host has it in the file that `infertui serve --listen` was given.",
                headers={"www-authenticate": "Bearer"},
            )
        return role


class _Refused(Exception):  # noqa: N818 (an answer, no failure)
    def __init__(self, status: int, message: str, *, remedy: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.problem: Problem = problem_of(AccessError(message, remedy=remedy))
        self.headers = headers or {}


class _Body:
    """The two ways of one exchange: a body has to be there in time, and a connection ends with one that is not read."""

    def __init__(self, receive: Receive, send: Send, limit_s: float) -> None:
        self._receive = receive
        self._send = send
        self._deadline = asyncio.get_running_loop().time() + limit_s
        self._limit_s = limit_s
        self._whole = False

    async def receive(self) -> Any:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(status_code=408, detail=f"its body took more than {self._limit_s:g} s") from None
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400 and not self._whole:
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)


def _only(headers: Any, name: bytes) -> str | None:
    """The value of a header that stands once; None where it is missing, or there twice."""
    found = [value for key, value in headers if key.lower() == name]
    return found[0].decode("latin-1") if len(found) == 1 else None if not found else ""


async def _answer(send: Send, refused: _Refused) -> None:
    content = msgspec.json.encode(refused.problem)
    told = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
    headers = [(name.encode(), value.encode()) for name, value in {**told, **refused.headers}.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
