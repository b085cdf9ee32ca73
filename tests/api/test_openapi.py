"""The interface as OpenAPI: valid, complete, served, and what is really said fits it."""

import asyncio
import http.client
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.daemons import play
from support.fake_control import FakeControl
from support.runs import simulated
from support.served import served

from infertui.api.http import routes
from infertui.api.openapi import openapi
from infertui.api.operations import OPERATIONS
from infertui.config.sweep import Variant
from infertui.runner.control import RunnerApi, Submission

TOLD: dict[str, Any] = msgspec.json.decode(openapi(RunnerApi))


def test_it_is_openapi() -> None:
    OpenAPIV31SpecValidator(TOLD).validate()


def test_every_route_is_there_and_no_other() -> None:
    described = {(verb.upper(), path) for path, verbs in TOLD["paths"].items() for verb in verbs}
    served_ones = {
        (str(verb), "/v1" + path.replace(":int", ""))
        for handler in routes(RunnerApi)
        for path in handler.paths
        for verb in handler.http_methods
        if verb not in ("OPTIONS", "HEAD") and path != "/openapi.json"
    }
    assert described == served_ones


def valid(value: object, schema: dict[str, Any]) -> bool:
    whole = {**schema, "components": TOLD["components"]}
    return bool(Draft202012Validator(whole).is_valid(msgspec.json.decode(msgspec.json.encode(value))))


def test_what_is_said_fits_it() -> None:
    submit = TOLD["paths"]["/v1/entries"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    submission = Submission("a", (Variant("n", simulated(), {}),), "/x")
    assert valid(submission, submit)
    assert not valid({"title": "a"}, submit)
    control = FakeControl()
    snapshot = TOLD["paths"]["/v1/snapshot"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert valid(control.told, snapshot)
    written = TOLD["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert valid(simulated(), written)
    assert valid({"workload": {"batch_size": 2}}, written)
    assert not valid({"workload": {"batch_size": "two"}}, written)
    query = {one["name"]: one for one in TOLD["paths"]["/v1/events"]["get"]["parameters"]}
    assert query["since"]["schema"] == {"type": "integer"}
    assert "204" in TOLD["paths"]["/v1/entries/cancel"]["post"]["responses"]
    assert TOLD["paths"]["/v1/queue"]["patch"]["operationId"] == "pause_or_resume"
    assert len(OPERATIONS) > 30


def test_it_is_served(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path):
            status, body = await asyncio.to_thread(ask, tmp_path / "runner.sock", "GET", "/v1/openapi.json")
            assert (status, body) == (200, openapi(RunnerApi))

    play(scenario())


def ask(path: Path, method: str, target: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, target, body, {"content-type": kind} if kind else {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


TOML = b'[model]\nid = "synthetic:nano"\n[engine]\nname = "simulator"\n[sweep.grid]\n"workload.batch_size" = [1, 2]\n'
AS_JSON = msgspec.json.encode(
    {
        "model": {"id": "synthetic:nano"},
        "engine": {"name": "simulator"},
        "sweep": {"grid": {"workload.batch_size": [1, 2]}},
    }
)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TOML, "application/toml"),
        (TOML, ""),
        (AS_JSON, "application/json"),
        (AS_JSON, "a/b"),
        (b"\n " + AS_JSON, ""),
    ],
)
def test_a_config_is_queued_as_it_is_written(body: bytes, kind: str, tmp_path: Path) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with served(control, tmp_path):
            target = "/v1/runs?out=/reports&title=mine&front=true"
            status, told = await asyncio.to_thread(ask, tmp_path / "runner.sock", "POST", target, body, kind)
            assert (status, told) == (201, b'{"ids":[1]}')

    play(scenario())
    ((name, (submission,)),) = control.calls
    assert name == "submit"
    assert isinstance(submission, Submission)
    assert (submission.title, submission.out, submission.front) == ("mine", "/reports", True)
    assert [(one.name, one.config.workload.batch_size) for one in submission.variants] == [("bs=1", 1), ("bs=2", 2)]


@pytest.mark.parametrize(
    ("target", "body", "said"),
    [
        ("/v1/runs", TOML, "no reports folder"),
        ("/v1/runs?out=/x", b"[model", "is not TOML"),
        ("/v1/runs?out=/x", b"{", "is not JSON"),
        ("/v1/runs?out=/x", b"{" * 100_000, "is not JSON"),
        ("/v1/runs?out=/x", b"{\"a\":" * 100_000, "is not JSON"),
        ("/v1/runs?out=/x", b"\xff\xfe", "is not UTF-8"),
        ("/v1/runs?out=/x", b'{"a\xff": 1}', "is not JSON"),
        ("/v1/runs?out=/x", b"# " + b"x" * (2 << 20), "larger than 2 MiB"),
        ("/v1/runs?out=/x", b'{"model": null}', "model"),
        ("/v1/runs?out=/x", b'{"model": {"id": 7}}', "model.id"),
        ("/v1/runs?out=/x", b'{"modle": {}}', "modle"),
        ("/v1/runs?out=/x", b'{"workload": {"batch_size": 1e400}}', ""),
        ("/v1/runs?out=/x", b'{"workload": {"batch_size": ' + b"9" * 5000 + b"}}", ""),
        ("/v1/runs?out=/x", b'[workload]\nbatch_size = -1', "batch_size"),
        ("/v1/runs?out=/x&front=perhaps", TOML, "front"),
    ],
)  # fmt: skip
def test_what_is_no_config_is_refused(target: str, body: bytes, said: str, tmp_path: Path) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with served(control, tmp_path):
            status, told = await asyncio.to_thread(ask, tmp_path / "runner.sock", "POST", target, body)
            assert status == 400
            assert said in msgspec.json.decode(told)["message"]

    play(scenario())
    assert control.calls == []
