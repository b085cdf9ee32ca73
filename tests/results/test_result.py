from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from support.structs import values_of

from infertui.results.result import Result
from infertui.results.runs import Store

results = values_of(Result)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(results)
def test_a_result_survives_json(result: Result) -> None:
    line = msgspec.json.encode(result)
    assert b"\n" not in line
    again = msgspec.json.decode(line, type=Result)
    assert again == result
    assert msgspec.json.encode(again) == line  # where 1 and 1.0 differ, and the order of fields counts


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(results)
def test_a_result_survives_the_store(tmp_path_factory: pytest.TempPathFactory, result: Result) -> None:
    store = Store(tmp_path_factory.mktemp("reports"))
    folder = store.create_run(result.name, datetime(2025, 1, 2, 3, 4, 5).astimezone())
    folder.write_result(result)
    store.append(result)
    folder.close()
    assert store.results(warn=pytest.fail) == [result]
    assert msgspec.json.decode((folder.path / "result.json").read_bytes(), type=Result) == result


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(results)
def test_what_a_newer_version_adds_is_passed_over(tmp_path_factory: pytest.TempPathFactory, result: Result) -> None:
    row = msgspec.to_builtins(result)
    row |= {"perplexity": 3.5}
    row["summary"] |= {"goodput": {"low": 1}}
    store = Store(Path(tmp_path_factory.mktemp("reports")))
    store.index.write_bytes(msgspec.json.encode(row) + b"\n")
    assert store.results(warn=pytest.fail) == [result]
