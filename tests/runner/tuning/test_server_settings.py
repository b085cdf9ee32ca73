"""Settings of a server in a tuning session: asked, changed, refused in its own words, and put back."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.mock_process import mock_process
from support.runs import HANG_S, clean_environment
from support.tunings import until

from infertui.analysis.tuning.knobs import knobs_of, stepped, turned
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, MeasurementConfig, WorkloadConfig
from infertui.errors import ConfigError, EngineError, UsageError
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.runner.runner import Runner
from infertui.runner.tuning.server_panel import EMPTIED, ServerPanel
from infertui.runner.tuning.state import TuningRequest, TuningStep, TuningView
from infertui.telemetry.readings import SERVER, GpuSetting

QUICK = MockOptions(family="vllm", ttft_s=0.01, itl_s=0.002, slots=8)


def asked(url: str, concurrency: int = 8) -> Config:
    return Config(
        target=TargetConfig(kind="endpoint", url=url),
        load=LoadConfig(concurrency=concurrency),
        workload=WorkloadConfig(prompts="random", input_len=16, output_len=8),
        measurement=MeasurementConfig(max_seconds=30),
    )


def page(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def play(config: Config, out: Path, *steps: dict[str, str]) -> TuningView:
    async def played() -> TuningView:
        async with asyncio.timeout(HANG_S), Runner() as runner:
            request = TuningRequest(
                config, str(out), seconds=1.5, steps=tuple(map(TuningStep, steps)), gpu_settings=True
            )
            name = await runner.begin_tuning(request)
            return await until(runner, name, lambda view: view.status == "ended")

    return asyncio.run(played())


def test_what_the_server_lets_be_changed_changes_its_throughput_and_is_put_back(tmp_path: Path) -> None:
    with mock_process("--server", "vllm", "--ttft", "10ms", "--itl", "2ms", "--slots", "8") as mock:
        view = play(
            asked(mock.url), tmp_path, {}, {"server.max_num_running_seqs": "1"},
            {"server.max_num_running_seqs": "9"}, {"server.cache_emptied": "1"}, {"server.nothing": "1"},
        )  # fmt: skip
        assert page(mock.url, "/v1/runtime_config")["max_num_running_seqs"] == 8
    assert {one.key: (one.was, one.high) for one in view.gpu} == {
        "server.max_num_running_seqs": (8, 8), "server.cache_emptied": (0, 1),
    }  # fmt: skip
    eight, one, too_many, emptied, none = view.segments
    assert one.changes == {"labels.server.max_num_running_seqs": "1"}
    # One at a time takes 24 ms of 8 tokens each; a busy machine adds to that.
    assert 0 < (one.figures["throughput"] or 0) <= 1.02 * 8 / 0.024
    assert (eight.figures["throughput"] or 0) > 2 * (one.figures["throughput"] or 0)
    assert too_many.error is not None
    assert "a whole number from 1 to 8" in too_many.error.message
    assert emptied.state == "finished"
    assert none.error is not None
    assert "there is no such setting" in none.error.message


@pytest.mark.parametrize(("family", "keys"), [
    ("sglang", {"pp_max_micro_batch_size", "speculative_accept_threshold_single", EMPTIED}),
    ("llama-server", {"lora_0", "lora_1", EMPTIED}),
    ("vllm", {"max_num_running_seqs", EMPTIED}),
])  # fmt: skip
def test_each_server_is_asked_in_its_own_way_and_asking_changes_nothing(family: str, keys: set[str]) -> None:
    async def asks(url: str) -> None:
        panel = ServerPanel(TargetConfig(kind="endpoint", url=url))
        found = await panel.settings()
        assert {one.name for one in found} == keys
        assert all(not one.refused for one in found)
        assert await panel.settings() == found
        values = {one.name: one.value for one in found}
        for one in found:
            await panel.set(one.name, one.low if one.value != one.low else one.high, values)
            values = {each.name: each.value for each in await panel.settings()}
            wanted = one.value if one.name == EMPTIED else one.low if one.value != one.low else one.high
            assert values[one.name] == wanted

    with MockServer(MockOptions(family=family, slots=4)) as server:  # type: ignore[arg-type]
        asyncio.run(asks(server.url))


HOSTILE = {
    "/v1/models": {"data": [{"id": "mock", "owned_by": "llamacpp"}]},
    "/props": {"default_generation_settings": {}, "total_slots": 10**30},
    "/lora-adapters": [{"id": 0, "path": "a/\x1b[31mred\n", "scale": 0.5}, {"id": "1"}, 7, {"id": 2, "scale": 1e400}],
}


def test_hostile_replies_are_no_settings_and_come_out_clean() -> None:
    script = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
pages = json.load(sys.stdin)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def say(self, status, body):
        self.send_response(status); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.say(*((200, json.dumps(pages[self.path]).encode()) if self.path in pages else (404, b"<html>")))
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.say(403, json.dumps({"error": {"message": "no \\x1b[2Jway" + "!" * 9999}}).encode())
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=clean_environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(HOSTILE))
        process.stdin.close()
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        panel = ServerPanel(TargetConfig(kind="endpoint", url=url))
        found = asyncio.run(panel.settings())
        with pytest.raises(EngineError, match="403") as refused:
            asyncio.run(panel.set("lora_0", 1.0, {}))
        process.send_signal(signal.SIGKILL)
    assert [one.name for one in found] == ["lora_0", EMPTIED]
    for one in found:
        assert "403" in one.refused
        assert len(one.refused) <= 200
        assert one.description.isprintable()
        assert one.refused.isprintable()
    assert refused.value.message.isprintable()


def test_a_setting_that_is_refused_is_shown_with_the_words_and_cannot_be_turned() -> None:
    config, setting = asked("http://127.0.0.1:1"), GpuSetting("lora_0", 0.5, 0.0, 4.0, SERVER, refused="status 403: no")
    (knob,) = [knob for knob in knobs_of(config, (setting,)) if knob.key == "server.lora_0"]
    assert (knob.value, knob.allowed) == (0.5, "not changeable: status 403: no")
    assert stepped(knob, 1) is None
    with pytest.raises(ConfigError, match="cannot be changed: status 403: no"):
        turned(config, {"server.lora_0": "1"}, (setting,))
    with pytest.raises(ConfigError, match="not to be changed in this session"):
        turned(config, {"server.lora_0": "1"})


def test_there_is_nothing_to_change_where_no_setting_is_known(tmp_path: Path) -> None:
    async def played(url: str) -> None:
        async with asyncio.timeout(HANG_S), Runner() as runner:
            name = await runner.begin_tuning(TuningRequest(asked(url), str(tmp_path)))
            with pytest.raises((EngineError, UsageError), match="no settings that are known"):
                await runner.allow_gpu_settings(name)

    with MockServer(MockOptions(family="tgi")) as server:
        asyncio.run(played(server.url))


def test_a_server_that_is_gone_is_told_of_as_not_put_back(tmp_path: Path) -> None:
    async def played(runner_out: Path) -> TuningView:
        with mock_process("--server", "vllm", "--ttft", "5ms", "--itl", "1ms", "--slots", "8") as mock:
            runner = Runner()
            await runner.__aenter__()
            name = await runner.begin_tuning(TuningRequest(asked(mock.url), str(runner_out), gpu_settings=True))
            await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
            await runner.turn(name, {"server.max_num_running_seqs": "2"})
            await until(runner, name, lambda view: len(view.segments) == 1 and view.phase in ("warmup", "measure"))
            assert page(mock.url, "/v1/runtime_config")["max_num_running_seqs"] == 2
        await runner.end_tuning(name)
        view = await until(runner, name, lambda view: view.status == "ended")
        await runner.__aexit__(None, None, None)
        return view

    view = asyncio.run(played(tmp_path))
    assert "not put back: max_num_running_seqs" in view.error
