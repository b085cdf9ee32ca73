"""The runner behind HTTP: a Litestar application over a Control.

Everything is under /v1 and answers JSON; `curl --unix-socket PATH http://localhost/v1/snapshot` works. Beside it
there is /metrics, the page that Prometheus reads. An error is a `Problem` with status 4xx; one that is the program's
own fault has status 500 and leaves its traceback in the log.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
from litestar import HttpMethod, Litestar, MediaType, Request, Response, Router, route
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, SkipValidation
from litestar.types import ASGIApp

from infertui import __version__
from infertui.api.errors import ReadOnlyError
from infertui.api.exporter.page import PATH, RunnerPage
from infertui.api.exporter.text import CONTENT_TYPE
from infertui.api.openapi import openapi
from infertui.api.operations import HELLO, WRITTEN, Operation, operations
from infertui.api.readonly import ReadOnly
from infertui.api.stream import EventAnswer, Presence, event_stream
from infertui.api.wire import IDENTITY_HEADER, PREFIX, Problem, RunnerHello, problem_of
from infertui.api.written import submission
from infertui.errors import InfertuiError, UsageError
from infertui.runner.control import OLDEST, PROTOCOL, RunnerApi
from infertui.text import clean

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: a submission of tens of thousands of configs."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
TheControl = NamedDependency[SkipValidation[RunnerApi]]
ThePresence = NamedDependency[SkipValidation[Presence]]
TheIdentity = NamedDependency[SkipValidation[str]]
TheReports = NamedDependency[SkipValidation[str]]
_FROM_THE_START = -1
"""A number that no event precedes: whoever asks for it gets a snapshot."""


async def _hello(control: TheControl, reports: TheReports) -> RunnerHello:
    told = await control.snapshot()
    states = [entry.state for entry in told.entries]
    facts = told.runner
    running, queued = states.count("running"), states.count("queued")
    watching = isinstance(control, ReadOnly)
    return RunnerHello(__version__, PROTOCOL, facts.pid, facts.started, running, queued, OLDEST, reports, watching)


async def _queue_written(
    control: TheControl,
    reports: TheReports,
    request: Request[Any, Any, Any],
    out: FromQuery[str] = "",
    title: FromQuery[str] = "",
    front: FromQuery[bool] = False,
) -> Response[bytes]:
    body, kind = await request.body(), request.headers.get("content-type", "")
    made = await asyncio.to_thread(submission, body, kind, out=out or reports, title=title, front=front)
    return Response(WRITTEN.told(await control.submit(made)), status_code=WRITTEN.status, media_type=MediaType.JSON)


async def _events(
    control: TheControl,
    presence: ThePresence,
    identity: TheIdentity,
    since: FromQuery[int] = 0,
    runner: FromQuery[str | None] = None,
) -> ASGIApp:
    # Numbers of another `runner` mean nothing here.
    known = runner is None or runner == identity
    stream = event_stream(control, since if known else _FROM_THE_START, presence)
    return EventAnswer(stream, {IDENTITY_HEADER: identity})


def routes(control: type[RunnerApi]) -> list[HTTPRouteHandler]:
    """The routes of all operations of a Control, and the greeting."""
    shared: dict[tuple[str, str], list[Operation]] = {}
    for one in operations(control).values():
        shared.setdefault((one.route.verb, one.route.path), []).append(one)

    async def describe() -> Response[bytes]:
        return Response(openapi(control), media_type=MediaType.JSON)

    description = route("/openapi.json", http_method=[HttpMethod.GET])(describe)
    answering = (_route(some[0], _answering(some)) for some in shared.values())
    return [_route(HELLO, _hello), _route(WRITTEN, _queue_written), description, *answering]


def _route(operation: Operation, handler: Callable[..., Any]) -> HTTPRouteHandler:
    path = operation.route.path.replace("}", ":int}")
    # The answer brings its own status; Litestar wants one here that allows a body.
    return route(path, http_method=[HttpMethod(operation.route.verb)], status_code=200)(handler)


def _answering(some: Sequence[Operation]) -> Callable[..., Any]:
    """What answers the operations of one path and verb."""
    if some[0].stream:
        return _events

    async def answer(control: TheControl, request: Request[Any, Any, Any]) -> Response[bytes]:
        body = b"" if request.method == "GET" else await request.body()
        for one in some:
            taken = one.taken(request.path_params, request.query_params, body)
            if taken is not None:
                break
        else:
            raise UsageError("the request cannot be served: no operation is meant by it")
        work = getattr(control, one.name)(**taken)
        reply = await (while_heard(request, work) if one.route.only_while_heard else work)
        return Response(one.told(reply), status_code=one.status, media_type=MediaType.JSON)

    return answer


def metrics_route(control: RunnerApi) -> HTTPRouteHandler:
    """The page that Prometheus reads."""
    page = RunnerPage(control)

    async def metrics() -> Response[bytes]:
        return Response(await page.text(), media_type=CONTENT_TYPE)

    return route(PATH, http_method=[HttpMethod.GET], status_code=200)(metrics)


def create_app(control: RunnerApi, presence: Presence, *, identity: str, reports: str = "") -> Litestar:
    """The application. `identity` names this process of the runner, `reports` the folder of who names none."""

    def provide(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    async def touch(request: Request[Any, Any, Any]) -> None:
        if request.url.path != PATH:  # a scraper needs no runner: it would keep one alive for ever
            presence.touch()

    return Litestar(
        [Router(PREFIX, route_handlers=routes(type(control))), metrics_route(control)],
        dependencies={
            "control": provide(control),
            "presence": provide(presence),
            "identity": provide(identity),
            "reports": provide(reports),
        },
        before_request=touch,
        exception_handlers={
            InfertuiError: _refused,
            HTTPException: _misunderstood,
            msgspec.MsgspecError: _misunderstood,
            UnicodeDecodeError: _misunderstood,
            RecursionError: _misunderstood,
            Exception: _failed,
        },
        response_headers={IDENTITY_HEADER: identity},
        request_max_body_size=MAX_BODY,
        openapi_config=None,
        logging_config=None,
    )


async def while_heard(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Do `work` for as long as the client listens. The request's body has to be read already."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise InfertuiError("nobody waits for the answer any more")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(problem: Problem, status: int) -> Response[Problem]:
    return Response(problem, status_code=status, media_type=MediaType.JSON)


def _refused(request: Request[Any, Any, Any], error: InfertuiError) -> Response[Problem]:
    status = 403 if isinstance(error, ReadOnlyError) else 400 if isinstance(error, UsageError) else 409
    return _answer(problem_of(error), status)


def _misunderstood(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if not isinstance(error, HTTPException):
        return _answer(Problem(UsageError.kind, f"the request cannot be read: {clean(str(error))}"), 400)
    if error.status_code >= 500:
        return _failed(request, error)
    said = [f"{item.get('key', '')}: {item.get('message', '')}" for item in error.extra or () if isinstance(item, dict)]
    about = "; ".join(said) or error.detail
    return _answer(Problem(UsageError.kind, f"the request cannot be served: {clean(about)}"), error.status_code)


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    told = clean("".join(traceback.format_exception(error)), lines=True)
    _log.error("%s %s failed\n%s", request.method, clean(request.url.path), told)
    message = f"the runner failed at this: {type(error).__name__}: {clean(str(error))}"
    return _answer(Problem(InfertuiError.kind, message, "runner.log tells more. Please report it."), 500)
