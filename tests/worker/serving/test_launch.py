"""Servers are started, waited for and ended with all that they started, whatever they do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import stub_server
from support.checkpoints import save_llama
from support.sample_gguf import write_sample

from infertui.config.endpoint import TargetConfig
from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig
from infertui.errors import EngineError
from infertui.targets.endpoint.servers import Serve
from infertui.worker.failure import WorkerError
from infertui.worker.serving import launch
from infertui.worker.serving.launch import find_program, launched


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Of a llama-server that is our own program."""
    script = tmp_path / "llama-server"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {stub_server.__file__} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STUB_RECORD", str(tmp_path / "record"))
    return of_gguf(write_sample(tmp_path / "model.gguf"))


def of_gguf(model: Path, load_timeout_s: float = 60.0) -> Config:
    return Config(
        model=ModelConfig(id=str(model)),
        engine=EngineConfig(name="llama-cpp"),
        target=TargetConfig(kind="endpoint", serve="llama-server"),
        device=DeviceConfig(name="cpu"),
        measurement=MeasurementConfig(load_timeout_s=load_timeout_s),
    )


def record(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "record").read_text())
    return found


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_ended(tmp_path: Path, *, orphan: bool = False) -> None:
    """The server and its children: that of its group, and one that left it."""
    told = record(tmp_path)
    within, apart = told["children"]
    if orphan:
        psutil.Process(apart).kill()
    deadline = time.monotonic() + 30
    while not all(map(ended, [told["pid"], within, apart])):
        assert time.monotonic() < deadline, "a process survived"
        time.sleep(0.01)


def test_it_is_waited_for_until_its_model_is_loaded_and_nothing_of_it_is_left(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_LOADING", "3")

    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log") as server:
            assert server.alive
            told = record(tmp_path)
            assert told["pid"] == server.pid
            port = told["arguments"][told["arguments"].index("--port") + 1]
            assert server.url == f"http://127.0.0.1:{port}"
            assert server.command[1:] == tuple(told["arguments"])
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()

    asyncio.run(scenario())
    assert_ended(tmp_path)
    assert "stub with" in (tmp_path / "server.log").read_text()


def test_it_gets_no_credentials(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("SOMETHING_ELSE", "told")

    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log"):
            pass

    asyncio.run(scenario())
    assert "SOMETHING_ELSE" in record(tmp_path)["names"]
    assert "HF_TOKEN" not in record(tmp_path)["names"]


def test_two_of_them_have_ports_of_their_own(config: Config, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with launched(config, tmp_path / "1.log") as one, launched(config, tmp_path / "2.log") as other:
            assert one.url != other.url
            assert one.alive
            assert other.alive

    asyncio.run(scenario())


def failure(config: Config, tmp_path: Path) -> WorkerError:
    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log"):
            pass

    with pytest.raises(WorkerError) as error:
        asyncio.run(scenario())
    assert_ended(tmp_path)
    assert "\x1b" not in str(error.value)
    return error.value


def test_one_that_ends_is_told_with_its_last_words(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ENDS", "3")
    error = failure(config, tmp_path)
    assert error.kind == "crash"
    assert "llama-server ended with status 3 before it was ready" in str(error)
    assert "stub with" in error.remedy


def test_one_that_never_answers_is_given_up(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_SILENT", "1")
    error = failure(of_gguf(Path(config.model.id), load_timeout_s=2.0), tmp_path)
    assert error.kind == "timeout"
    assert "load_timeout_s" in str(error)


def test_one_that_loads_for_too_long_is_given_up(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_LOADING", "1000000")
    assert failure(of_gguf(Path(config.model.id), load_timeout_s=2.0), tmp_path).kind == "timeout"


def test_one_that_heeds_nothing_is_killed(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_DEAF", "1")
    monkeypatch.setattr(launch, "END_S", 0.2)

    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log"):
            pass

    asyncio.run(scenario())
    assert_ended(tmp_path)


def test_one_that_ends_while_it_is_needed_is_told(config: Config, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log") as server:
            _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            writer.write(b"GET /end HTTP/1.0\r\n\r\n")
            error = await server.ended()
            assert "llama-server ended with status 5 while it was needed" in str(error)
            assert not server.alive
            writer.close()

    asyncio.run(scenario())
    assert_ended(tmp_path)


def test_a_run_that_is_cancelled_meanwhile_leaves_nothing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_LOADING", "1000000")

    async def scenario() -> None:
        async def run() -> None:
            async with launched(config, tmp_path / "server.log"):
                pass

        task = asyncio.create_task(run())
        while not (tmp_path / "record").exists():  # noqa: ASYNC110 (a file tells)
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert_ended(tmp_path)


PARENT = """
import asyncio, sys
from pathlib import Path
import msgspec
from infertui.config.schema import Config
from infertui.worker.serving.launch import launched

async def main():
    config = msgspec.json.decode(sys.argv[1], type=Config)
    async with launched(config, Path(sys.argv[2])):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_it_dies_with_whoever_started_it(config: Config, tmp_path: Path) -> None:
    import msgspec

    arguments = [msgspec.json.encode(config).decode(), str(tmp_path / "server.log")]
    with subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        parent.send_signal(signal.SIGKILL)
    # Whoever left the group on purpose is nobody's then.
    assert_ended(tmp_path, orphan=True)


def test_another_program_on_its_port_is_not_taken_for_it(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_SILENT", "1")

    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        stranger = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = stranger.sockets[0].getsockname()[1]

        @contextmanager
        def taken() -> Iterator[int]:
            yield port

        monkeypatch.setattr(launch, "_free_port", taken)
        async with stranger, launched(config, tmp_path / "server.log"):
            pass

    with pytest.raises(WorkerError, match="another program than llama-server answers"):
        asyncio.run(scenario())
    if (tmp_path / "record").exists():
        assert_ended(tmp_path)


def test_one_that_is_not_installed_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    servers: tuple[tuple[Serve, str], ...] = (
        ("llama-server", "llama-cpp"),
        ("vllm", "vllm"),
        ("trtllm", "tensorrt-llm"),
        ("sglang", ""),
    )
    for serve, engine in servers:
        target = TargetConfig(kind="endpoint", serve=serve)
        with pytest.raises(EngineError, match=f"{serve} cannot be started") as error:
            find_program(Config(engine=EngineConfig(name=engine or "transformers"), target=target))
        assert "install" in error.value.remedy.lower()


def test_an_interpreter_that_was_named_goes_first(tmp_path: Path) -> None:
    engine = EngineConfig(name="vllm", python=str(tmp_path / "bin" / "python"))
    words = find_program(Config(engine=engine, target=TargetConfig(kind="endpoint", serve="vllm")))
    assert words == (str(tmp_path / "bin" / "python"), "-P", "-m", "vllm.entrypoints.cli.main", "serve")


def test_a_program_that_is_gone_meanwhile_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "find_program", lambda config: (str(tmp_path / "none"),))

    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log"):
            pass

    with pytest.raises(WorkerError, match="ended with status 127") as error:
        asyncio.run(scenario())
    assert "cannot be started: No such file" in error.value.remedy


NEEDED = [name for name in ("transformers", "fastapi", "openai", "uvicorn") if find_spec(name) is None]


@pytest.mark.skipif(
    bool(NEEDED), reason=f"transformers serve needs {', '.join(NEEDED)}: pip install transformers[serving]"
)
def test_transformers_serves_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_llama(folder)
    config = Config(
        model=ModelConfig(id=str(folder)),
        engine=EngineConfig(dtype="float32"),
        target=TargetConfig(kind="endpoint", serve="transformers"),
        device=DeviceConfig(name="cpu", threads=1),
    )

    async def scenario() -> None:
        async with launched(config, tmp_path / "server.log") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            body = json.dumps({"model": str(folder), "prompt": "the quick", "max_tokens": 5}).encode()
            writer.write(b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.read()).partition(b"\r\n\r\n")[2]
            writer.close()
            assert json.loads(answer)["usage"]["completion_tokens"] == 5

    asyncio.run(scenario())
