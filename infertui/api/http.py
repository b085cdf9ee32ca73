"""The runner behind HTTP: a Litestar application over a Control.

Everything is under /v1 and answers JSON; `curl --unix-socket PATH http://localhost/v1/snapshot` works. An error is a
`Problem` with status 4xx; one that is the program's own fault has status 500 and leaves its traceback in the log.
"""

import asyncio
import logging
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation
from litestar.types import ASGIApp, ControllerRouterHandler

from infertui import __version__
from infertui.analysis.bench import Bench
from infertui.api.stream import EventAnswer, Presence, event_stream
from infertui.api.wire import (
    IDENTITY_HEADER,
    PREFIX,
    Computing,
    Ending,
    Hello,
    Ids,
    Problem,
    QueueState,
    Runs,
    Shift,
    problem_of,
)
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, UsageError
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.control import PROTOCOL, Compared, Control, Forecast, Snapshot, Submission
from infertui.text import clean

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: a submission of tens of thousands of configs."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
TheControl = NamedDependency[SkipValidation[Control]]
ThePresence = NamedDependency[SkipValidation[Presence]]
TheIdentity = NamedDependency[SkipValidation[str]]
_FROM_THE_START = -1
"""A number that no event precedes: whoever asks for it gets a snapshot."""


@get("/hello")
async def hello(control: TheControl) -> Hello:
    """Who answers, and whether it is busy."""
    told = await control.snapshot()
    states = [entry.state for entry in told.entries]
    facts = told.runner
    running, queued = states.count("running"), states.count("queued")
    return Hello(__version__, PROTOCOL, facts.pid, facts.started, running, queued)


@get("/snapshot")
async def snapshot(control: TheControl) -> Snapshot:
    """`Control.snapshot`."""
    return await control.snapshot()


@get("/events")
async def events(
    control: TheControl,
    presence: ThePresence,
    identity: TheIdentity,
    since: FromQuery[int] = 0,
    runner: FromQuery[str | None] = None,
) -> ASGIApp:
    """`Control.events` as server-sent events. Numbers of another `runner` mean nothing here."""
    known = runner is None or runner == identity
    stream = event_stream(control, since if known else _FROM_THE_START, presence)
    return EventAnswer(stream, {IDENTITY_HEADER: identity})


@post("/entries")
async def submit(control: TheControl, data: JSONBody[Submission]) -> Ids:
    """`Control.submit`."""
    return Ids(await control.submit(data))


@post("/entries/cancel", status_code=204)
async def cancel(control: TheControl, data: JSONBody[Ids]) -> None:
    """`Control.cancel`."""
    await control.cancel(data.ids)


@post("/entries/skip", status_code=204)
async def skip(control: TheControl, data: JSONBody[Ids]) -> None:
    """`Control.skip`."""
    await control.skip(data.ids)


@post("/entries/retry")
async def retry(control: TheControl, data: JSONBody[Ids]) -> Ids:
    """`Control.retry`."""
    return Ids(await control.retry(data.ids))


@post("/entries/duplicate")
async def duplicate(control: TheControl, data: JSONBody[Ids]) -> Ids:
    """`Control.duplicate`."""
    return Ids(await control.duplicate(data.ids))


@post("/entries/move", status_code=204)
async def move(control: TheControl, data: JSONBody[Shift]) -> None:
    """`Control.move`."""
    await control.move(data.ids, data.by)


@patch("/entries/{entry:int}", status_code=204)
async def edit(control: TheControl, entry: FromPath[int], data: JSONBody[Variant]) -> None:
    """`Control.edit`."""
    await control.edit(entry, data)


@delete("/entries")
async def remove(control: TheControl, data: JSONBody[Ids]) -> None:
    """`Control.remove`."""
    await control.remove(data.ids)


@delete("/entries/ended")
async def clear(control: TheControl) -> None:
    """`Control.clear`."""
    await control.clear()


@patch("/queue", status_code=204)
async def queue(control: TheControl, data: JSONBody[QueueState]) -> None:
    """`Control.pause` and `Control.resume`."""
    await (control.pause() if data.paused else control.resume())


@post("/forecast", status_code=200)
async def forecast(control: TheControl, data: JSONBody[Config]) -> Forecast:
    """`Control.forecast`."""
    return await control.forecast(data)


@get("/models")
async def models(control: TheControl) -> tuple[LocalModel, ...]:
    """`Control.models`."""
    return await control.models()


@get("/processes")
async def processes(control: TheControl, gpu: FromQuery[str]) -> Computing:
    """`Control.processes`."""
    return Computing(await control.processes(gpu))


@get("/results")
async def results(control: TheControl, request: Request[Any, Any, Any]) -> ResultPage:
    """`Control.results`; the fields of the query are those of `ResultQuery`."""
    return await control.results(msgspec.convert(dict(request.query_params), ResultQuery, strict=False))


@get("/runs")
async def details(control: TheControl, out: FromQuery[str], run: FromQuery[str]) -> RunDetails:
    """`Control.details`."""
    return await control.details(out, run)


@post("/compare", status_code=200)
async def compare(control: TheControl, data: JSONBody[Runs], request: Request[Any, Any, Any]) -> Compared:
    """`Control.compare`; a client that leaves ends it."""
    return await while_heard(request, control.compare(data.out, data.runs))


@get("/benches")
async def bench(control: TheControl, out: FromQuery[str], bench: FromQuery[str]) -> Bench:
    """`Control.bench`."""
    return await control.bench(out, bench)


@delete("/runs")
async def delete_runs(control: TheControl, data: JSONBody[Runs]) -> None:
    """`Control.delete`."""
    await control.delete(data.out, data.runs)


@post("/stop", status_code=204)
async def stop(control: TheControl, data: JSONBody[Ending]) -> None:
    """`Control.stop`."""
    await control.stop(now=data.now)


ROUTES: list[ControllerRouterHandler] = [
    hello, snapshot, events, submit, cancel, skip, retry, duplicate, move, edit, remove, clear, queue, forecast,
    models, processes, results, details, compare, bench, delete_runs, stop,
]  # fmt: skip


def create_app(control: Control, presence: Presence, *, identity: str) -> Litestar:
    """The application. `identity` names this process of the runner."""

    def provide(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    async def touch(request: Request[Any, Any, Any]) -> None:
        presence.touch()

    return Litestar(
        [Router(PREFIX, route_handlers=ROUTES)],
        dependencies={
            "control": provide(control),
            "presence": provide(presence),
            "identity": provide(identity),
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
    return _answer(problem_of(error), 400 if isinstance(error, UsageError) else 409)


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
