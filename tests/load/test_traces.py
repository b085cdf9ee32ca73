"""Traces in the forms of those who publish them, and everything that is none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.endpoint import LoadConfig
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.load import traces
from infertui.load.planner import plan_of
from infertui.load.traces import TracedRequest, read_trace

MOONCAKE = """\
{"timestamp": 27482, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 30535, "input_length": 600, "output_length": 26, "hash_ids": [46, 47]}
"""
AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
"""
AZURE_GAP = 4.314579
"""Seconds between the two; times since 1970 have 2**-22 of one at best."""


def trace(folder: Path, text: str | bytes, name: str = "trace.jsonl") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_mooncake(tmp_path: Path) -> None:
    assert read_trace(trace(tmp_path, MOONCAKE)) == (
        TracedRequest(0, None, 1100, 52, (46, 47, 48)),
        TracedRequest(30.535 - 27.482, None, 600, 26, (46, 47)),
    )


@given(
    st.one_of(st.integers(-5, 10**13), st.booleans(), st.floats(), st.none()),
    st.one_of(st.integers(-5, 10**8), st.floats(0, 1e5), st.none()),
    st.one_of(st.integers(-5, 10**8), st.none()),
)
def test_the_usual_form_is_read_as_any_other(
    tmp_path_factory: pytest.TempPathFactory, at: object, size: object, out: object
) -> None:
    """With another key beside them the same values take the long way."""
    entry = {"timestamp": at, "input_length": size, "output_length": out}
    told = []
    for further in ({}, {"chat_id": 7}):
        path = trace(tmp_path_factory.getbasetemp(), json.dumps(entry | further), "usual")
        try:
            told.append(str(read_trace(path)))
        except ConfigError as error:
            told.append(str(error))
    assert told[0] == told[1]


@pytest.mark.parametrize("text", [AZURE, "\ufeff" + AZURE.replace("\n", "\r\n") + "\r\n\r\n"])
def test_azure(tmp_path: Path, text: str) -> None:
    first, second = read_trace(trace(tmp_path, text, "azure.csv"))
    assert first == TracedRequest(0, None, 374, 44)
    assert second.at == pytest.approx(AZURE_GAP, abs=1e-6)
    assert (second.prompt_tokens, second.output_tokens) == (396, 109)


def test_burst_gpt(tmp_path: Path) -> None:
    heading = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    text = heading + "5,ChatGPT,472,18,490,x\n7.5,GPT-4,1,0,1,x\n"
    assert read_trace(trace(tmp_path, text, "t.csv")) == (
        TracedRequest(0, None, 472, 18),
        TracedRequest(2.5, None, 1, 1),
    )


def test_plain_lines_with_prompts_and_any_order(tmp_path: Path) -> None:
    text = '{"timestamp": 3, "prompt": "b", "max_tokens": 5}\n\n{"timestamp_ms": 500, "prompt_tokens": 7}\n'
    assert read_trace(trace(tmp_path, text)) == (
        TracedRequest(0, None, 7, None),
        TracedRequest(2.5, "b", None, 5),
    )


def test_dates_in_ms_are_dates_in_mooncakes_form_too(tmp_path: Path) -> None:
    text = '{"timestamp": 1795000000000, "input_length": 1}\n{"timestamp": 1795000001500, "input_length": 1}\n'
    assert [one.at for one in read_trace(trace(tmp_path, text))] == [0, 1.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no request"),
        ("\n \n", "holds no request"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no request"),
        ('{"timestamp": 1, "input_length": 2}\n{"timestamp": 2, "inp', "line 2 of"),
        ('{"timestamp": 1, "input_length": 2}\n[1]\n', "line 2 of"),
        ('{"input_length": 2}\n', "has no time stamp"),
        ('{"timestamp": -1, "input_length": 2}\n', "has no time stamp"),
        ('{"timestamp": true, "input_length": 2}\n', "has no time stamp"),
        ('{"timestamp": NaN, "input_length": 2}\n', "has no time stamp"),
        ('{"timestamp": 1' + "0" * 400 + ', "input_length": 2}\n', "has no time stamp"),
        ('{"timestamp": 1, "prompt": "a \\ud800 b"}\n', "half of a surrogate pair"),
        ('{"timestamp": 1}\n', "tells neither a prompt nor"),
        ('{"timestamp": 1, "input_length": -5}\n', "tells neither a prompt nor"),
        ('{"timestamp": 1, "input_length": 1.5}\n', "tells neither a prompt nor"),
        ('{"timestamp": 1, "input_length": 1e9}\n', "tells neither a prompt nor"),
        ('{"timestamp": 1, "input_length": 2, "hash_ids": "abc"}\n', "hash_ids of another form"),
        ('{"timestamp": 1, "input_length": 2, "hash_ids": [1, true]}\n', "hash_ids of another form"),
        ('{"timestamp": 1, "input_length": 2, "hash_ids": [1.5]}\n', "hash_ids of another form"),
        ('{"timestamp": 1, "input_length": 2, "hash_ids": ' + str(list(range(70000))) + "}\n", "hash_ids of another"),
        ("[" * 100_000, "neither a JSON object nor a heading"),
        ('{"a":' * 100_000, "is no JSON"),
        ("hello\n", "line 1 of"),
        ("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,1,2\n", "line 2 of"),
        ('TIMESTAMP,ContextTokens\n"2023-11-16 18:15:46,1\n', "is no CSV"),
        ("TIMESTAMP,ContextTokens\n2023-11-16,1\n", "has no time stamp"),
        ("TIMESTAMP,ContextTokens\n1,x\n", "tells neither"),
        ("TIMESTAMP,ContextTokens\n1,1\n40000000,1\n", "lasts"),
        (b"\xff\xfe{\x00", "is no UTF-8 text"),
        (b'{"timestamp": 1, "prompt": "\xc3"}', "is no UTF-8 text"),
        ('{"timestamp": 1, "input_length": 2}\n\x1b[2J\n', "line 2 of"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_trace(trace(tmp_path, text))
    assert error.value.path == "load.trace"
    assert told in str(error.value)
    assert error.value.allowed
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 700


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, told in (
        (str(tmp_path), "a folder"), ("/dev/zero", "a device"), (str(tmp_path / "none"), "cannot read"),
        ("a\0b", "no file name"), ("", "a folder"), ("~nobody-here/x", "cannot read"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"load\.trace") as error:
            read_trace(path)
        assert told in str(error.value)


def test_long_lines_and_many_requests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_REQUESTS", 2)
    assert len(read_trace(trace(tmp_path, MOONCAKE))) == 2
    with pytest.raises(ConfigError, match="at most 2"):
        read_trace(trace(tmp_path, MOONCAKE + MOONCAKE))
    monkeypatch.setattr(traces, "_LONGEST_LINE", 50)
    with pytest.raises(ConfigError, match=r"line 1 of .* is longer than 50 B"):
        read_trace(trace(tmp_path, MOONCAKE))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_trace_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = trace(tmp_path_factory.getbasetemp(), data, "any")
    try:
        assert read_trace(path)
    except ConfigError as error:
        assert error.path == "load.trace"  # noqa: PT017 (either is right)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 5000), st.integers(1, 500)), min_size=1, max_size=40))
def test_a_plan_repeats_times_and_lengths(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]]
) -> None:
    lines = [json.dumps({"timestamp": at, "input_length": size, "output_length": out}) for at, size, out in rows]
    path = trace(tmp_path_factory.getbasetemp(), "\n".join(lines), "plan")
    plan = plan_of(LoadConfig(trace=path), WorkloadConfig())
    requests = list(plan.requests())
    rows.sort(key=lambda row: row[0])
    assert plan.count == len(rows)
    assert [one.due for one in requests] == pytest.approx([(at - rows[0][0]) / 1000 for at, _, _ in rows])
    assert [(one.prompt_tokens, one.output_tokens) for one in requests] == [row[1:] for row in rows]
    assert [len(one.prompt.split()) for one in requests] == [row[1] for row in rows]
    divided = [one for part in range(3) for one in plan.requests(part, 3, first=2)]
    assert sorted(divided, key=lambda one: one.index) == requests[2:]


def test_a_plan_of_a_trace_takes_prompts_and_what_else_is_told(tmp_path: Path) -> None:
    text = '{"timestamp": 0, "prompt": "as it is"}\n' + MOONCAKE
    plan = plan_of(LoadConfig(trace=trace(tmp_path, text)), WorkloadConfig(output_len=9, num_prompts=2))
    first, second = plan.requests()
    assert (first.prompt, first.prompt_tokens, first.output_tokens) == ("as it is", None, 9)
    assert (second.prompt_tokens, second.output_tokens) == (1100, 52)
    assert plan.count == 2
