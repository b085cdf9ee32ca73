"""Logs of every form are read as lengths and times; what cannot be read is passed over and counted, never guessed."""

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.formats.reader import FormatError, SourceFile
from infertui.formats.request_log.source import LogFile
from infertui.load.log_entry import LogEntry, entry_of, moment_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["prompt", "usage", "body", "response", "messages", "timestamp", "latency", "prompt_tokens",
                         "completion_tokens", "content", "choices", "x"]), inner, max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


def read(content: bytes | str, name: str = "log") -> tuple[str, list[LogEntry], int]:
    content = content.encode() if isinstance(content, str) else content
    log = LogFile(SourceFile.of(content, name))
    found = list(log.entries())
    return log.form, found, log.skipped.count


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Hello", LogEntry(prompt="Hello")),
        ({"prompt": "Hi", "latency": 0.5, "tokens": 8}, LogEntry(prompt="Hi", output_tokens=8, duration=0.5)),
        (
            {"created": 1_700_000_000, "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
            LogEntry(prompt_tokens=7, output_tokens=3, at=1.7e9),
        ),
        (
            {"request": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "max_tokens": 9},
             "response": {"body": {"usage": {"prompt_tokens": 4}, "choices": [{"message": {"content": "Yo"}}]}}},
            LogEntry(prompt="Hi", prompt_tokens=4, output="Yo", output_tokens=9, asked=True),
        ),
        (
            {"custom_id": "a", "method": "POST", "body": {"messages": [{"role": "user", "content": "Hi"}]}},
            LogEntry(prompt="Hi"),
        ),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, LogEntry(prompt="a\nb")),
        (
            {"TIMESTAMP": "2023-11-16 18:15:46.6805900", "ContextTokens": "374", "GeneratedTokens": "44"},
            LogEntry(prompt_tokens=374, output_tokens=44, at=1_700_158_546.68059),
        ),
        (
            {"Timestamp": "5", "Model": "ChatGPT", "Request tokens": "472", "Response tokens": "18"},
            LogEntry(prompt_tokens=472, output_tokens=18, at=5.0),
        ),
        ({"prompt": "x", "latency_ms": 250, "start": 10.0}, LogEntry(prompt="x", at=10.0, duration=0.25)),
        ({"prompt": "x", "start": 10.0, "end": 12.5}, LogEntry(prompt="x", at=10.0, duration=2.5)),
        # What is no length and no time is left out.
        ({"prompt_tokens": -1, "output_tokens": 2.5, "timestamp": "soon", "latency": 1e300}, LogEntry()),
        ({"prompt_tokens": True, "completion_tokens": 10**400, "ts": float("nan")}, LogEntry()),
        ([1, 2], LogEntry()),
    ],
)  # fmt: skip
def test_forms_of_an_entry(value: Any, told: LogEntry) -> None:
    assert entry_of(value) == told


def test_moments_in_their_units() -> None:
    assert [moment_of(1.7e9 * scale) for scale in (1, 1e3, 1e6, 1e9)] == pytest.approx([1.7e9] * 4)
    assert moment_of("2023-11-14T22:13:20Z") == 1.7e9
    assert moment_of("2023-11-14T23:13:20+01:00") == 1.7e9
    odds: list[object] = ["", "9999999", -3, 1e30, "1" * 60, None, []]
    assert [moment_of(odd) for odd in odds] == [
        None, 9_999_999.0, None, None, None, None, None,
    ]  # fmt: skip


def test_forms_of_a_file() -> None:
    lines = '{"prompt": "a"}\n\n{"prompt": "b"}\n{"prompt": \n[]\n'
    form, found, skipped = read(lines)
    assert (form, [one.prompt for one in found], skipped) == ("JSON lines", ["a", "b"], 2)
    assert read('[{"prompt": "a"}, "b", 3]')[::2] == ("JSON", 1)
    assert [one.prompt for one in read('{\n "data": [\n{"prompt": "a"}\n]\n}')[1]] == ["a"]
    form, found, _ = read('prompt;max_tokens\n"a;b";3\nc;4\n')
    assert (form, [(one.prompt, one.output_tokens) for one in found]) == ("CSV", [("a;b", 3), ("c", 4)])
    assert read("Hello, world\nand you\n")[0] == "lines of text"
    assert read('"quoted" speech\nmore')[0] == "lines of text"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\0\1\2", "a\n".encode("utf-16"), b"[1, 2", b'{"a": [\n1,\n'])
def test_what_is_no_log_is_one_clear_error(content: bytes) -> None:
    with pytest.raises(FormatError, match=r"^log"):
        read(content)


@given(JSON)
def test_no_value_of_json_is_too_odd(value: Any) -> None:
    entry = entry_of(value)
    assert entry.prompt_tokens is None or entry.prompt_tokens >= 0
    assert entry.duration is None or 0 <= entry.duration <= 86_400


@given(st.integers(0, 1000), st.data())
def test_every_prefix_of_a_log_is_read_up_to_its_torn_line(seed: int, data: st.DataObject) -> None:
    draw = random.Random(seed)
    lines = [
        json.dumps({"created": 1.7e9 + at, "usage": {"prompt_tokens": draw.randint(0, 999)}}) for at in range(5)
    ]  # fmt: skip
    whole = "\n".join(lines).encode()
    cut = data.draw(st.integers(len(lines[0]), len(whole)))
    form, found, skipped = read(whole[:cut])
    complete = [line for line in whole[:cut].decode().split("\n") if line in lines]
    assert form == "JSON lines"
    assert len(found) == len(complete)
    assert skipped == whole[:cut].count(b"\n") + 1 - len(complete) - whole[:cut].endswith(b"\n")


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_no_bytes_end_in_anything_but_entries_or_a_clear_error(content: bytes) -> None:
    with contextlib.suppress(FormatError):
        read(content)


def test_a_log_whose_first_line_was_cut_off_is_one_of_json_lines() -> None:
    form, entries, skipped = read('mpt": "x"}\n{"prompt": "a"}\n{"prompt": "b"}\n')
    assert (form, [entry.prompt for entry in entries], skipped) == ("JSON lines", ["a", "b"], 1)


def test_a_day_is_no_moment() -> None:
    assert [moment_of(text) for text in ("2026-12-01", "2026-W49-2", " 2026-12-01 ")] == [None] * 3
    assert moment_of("2026-12-01T00:00") == 1_796_083_200.0  # date -u -d 2026-12-01 +%s
