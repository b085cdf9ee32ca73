"""What of a load is refused before it begins, by the key that is at fault."""

from typing import Any

import pytest

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.checks import check_load

ENDPOINT = {"kind": "endpoint", "url": "http://127.0.0.1:8000"}


def refused(target: dict[str, Any], load: dict[str, Any], workload: dict[str, Any]) -> ConfigError | None:
    try:
        check_load(TargetConfig(**target), LoadConfig(**load), WorkloadConfig(**workload))
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("load", "workload"),
    [
        ({}, {}),
        ({"concurrency": 8, "ramp_s": 5}, {"num_prompts": 100}),
        ({"request_rate": 5, "arrival": "gamma", "burstiness": 0.5, "ramp_s": 5}, {}),
        ({"request_rate": 5, "steps": "5:10,10:10", "concurrency": 64}, {}),
        ({"steps": "5:10,10:10"}, {}),
        ({"trace": "x.jsonl", "concurrency": 64}, {"num_prompts": 5, "output_len": 7}),
        ({"lengths": "normal", "length_spread": 0.2}, {}),
        ({"shared_prefix": 0.5, "turns": 3}, {"input_len": 64, "prompts": "random"}),
    ],
)
def test_what_goes_together(load: dict[str, Any], workload: dict[str, Any]) -> None:
    assert refused(ENDPOINT, load, workload) is None


@pytest.mark.parametrize(
    ("load", "workload", "key"),
    [
        ({}, {"batch_size": 2}, "workload.batch_size"),
        ({"arrival": "constant"}, {}, "load.arrival"),
        ({"burstiness": 2.0}, {}, "load.burstiness"),
        ({"burstiness": 2.0, "request_rate": 1}, {}, "load.burstiness"),
        ({"steps": "5:10", "ramp_s": 1}, {}, "load.ramp_s"),
        ({"steps": "5:10", "concurrency": 1}, {}, "load.concurrency"),
        ({"steps": "1.5:10"}, {}, "load.steps"),
        ({"steps": "x", "request_rate": 1}, {}, "load.steps"),
        ({"length_spread": 0.1}, {}, "load.length_spread"),
        ({"lengths": "uniform"}, {}, "load.lengths"),
        ({}, {"prompts": "random"}, "workload.input_len"),
        ({"shared_prefix": 0.1}, {}, "load.shared_prefix"),
        ({"trace": "x", "request_rate": 1}, {}, "load.request_rate"),
        ({"trace": "x", "steps": "1:1"}, {}, "load.steps"),
        ({"trace": "x", "turns": 2}, {}, "load.turns"),
        ({"trace": "x"}, {"input_len": 2}, "workload.input_len"),
        ({"trace": "x"}, {"prompts_file": "y"}, "workload.prompts_file"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(load: dict[str, Any], workload: dict[str, Any], key: str) -> None:
    error = refused(ENDPOINT, load, workload)
    assert error is not None
    assert error.path == key
    assert error.remedy or error.allowed


def test_there_is_one_server() -> None:
    started = {"kind": "endpoint", "serve": "llama-server"}
    assert refused(started, {}, {}) is None
    assert refused({**started, "serve_args": "--mlock"}, {}, {}) is None
    for target, key in (
        ({"kind": "endpoint"}, "target.url"),
        ({**started, "url": "http://127.0.0.1:1"}, "target.url"),
        ({**ENDPOINT, "serve_args": "--mlock"}, "target.serve_args"),
        ({"serve": "vllm"}, "target.serve"),
    ):
        error = refused(target, {}, {})
        assert error is not None
        assert error.path == key


def test_an_engine_has_no_load_and_no_target() -> None:
    assert refused({}, {}, {"batch_size": 8}) is None
    for target, load, key in (
        ({}, {"request_rate": 5}, "load.request_rate"),
        ({}, {"ignore_eos": False}, "load.ignore_eos"),
        ({"url": "http://x"}, {}, "target.url"),
    ):
        error = refused(target, load, {})
        assert error is not None
        assert error.path == key
        assert "target.kind = endpoint" in error.remedy
