"""Files that are not what they seem: refused with the file, the place and the reason, and with no other error."""

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.foreign_files import LLAMA_TEST, dumped, guidellm, llama_csv, one_of_each, six_field, vllm_serve

from infertui.formats import reader as sources
from infertui.formats.detect import NAMES, read
from infertui.formats.imported_run import Given
from infertui.formats.reader import FormatError, SourceFile

FILES = one_of_each()


def refusal(content: bytes, given: Given = Given()) -> str:  # noqa: B008
    with pytest.raises(FormatError) as caught:
        taken(content, given)
    assert caught.value.message.isprintable()
    return caught.value.message


def taken(content: bytes, given: Given = Given()) -> None:  # noqa: B008
    """Read it with the lines of its requests."""
    for finding in read(SourceFile.of(content, "given.json"), given).findings:
        if finding.records:
            list(finding.records())


def outcome(content: bytes, given: Given = Given()) -> str:  # noqa: B008
    """Why it was refused; empty where it was read."""
    try:
        taken(content, given)
    except FormatError as error:
        return error.message
    return ""


@pytest.mark.parametrize("name", FILES)
def test_every_form_is_known_by_its_content(name: str) -> None:
    assert read(SourceFile.of(FILES[name], "nothing.txt")).form == name
    assert name in NAMES


def test_each_form_has_a_file_here() -> None:
    assert set(FILES) == set(NAMES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "given.json: is empty"),
        (b" \n\t\n", "given.json: is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "line 1: is binary, not text"),
        ("{}".encode("utf-16"), "line 1: is text in UTF-16"),
        (b'{"a": "\xff"}', "line 1: byte 8 is no UTF-8"),
        (b"hello\nworld\n", "line 1: is neither JSON nor the heading of a CSV"),
        (b"{}", "is of no known form; its keys are none"),
        (b"[]", "is a list of nothing that is known"),
        (b"[1, 2]", "is a list of nothing that is known"),
        (b'{"\x1b]0;x\x07name": 1}', "line 1: is no JSON"),
        (b'{"\\u001b[2Jname": 1}', "its keys are '\\x1b[2Jname'"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b'{"duration": ' + b"9" * 5000 + b"}", "holds a number of too many digits"),
        (b'{"a": 1, "a": 2}', "$.a: stands twice"),
        (dumped(vllm_serve(duration=math.inf)), "$.duration: is Infinity, which is no number of JSON"),
        (dumped(vllm_serve(mean_ttft_ms=-math.inf)), "$.mean_ttft_ms: is -Infinity"),
        (dumped(vllm_serve(output_throughput=math.nan, total_output_tokens=None)), "$.output_throughput: is not there"),
        (b'{"a": 1', "line 1: is no JSON"),
        (b'{"a": 1,\n"b" 2}', "line 2: is no JSON, at column 5"),
        (six_field([0.5]) + b'{"prompt": "a"', "line 2: is no JSON"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": -1, "tokens": 1}', "line 2.latency: is -1"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": 1e400, "tokens": 1}', "line 2.latency: is inf, not a number"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": true, "tokens": 1}', "line 2.latency: is true, not a number"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": 1, "tokens": 1.5}', "line 2.tokens: is 1.5, not a whole"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": 1, "tokens": "8"}', "line 2.tokens: is '8', not a number"),
        (six_field([0.5]) + b'{"prompt": null, "latency": 1, "tokens": 8}', "line 2.prompt: is not text"),
        (six_field([0.5]) + b'{"prompt": "a", "latency": 1, "latency": 2, "tokens": 8}', "line 2, $.latency: stands"),
        (six_field([0.5]) + b"[]", "line 2: is a list, not an object"),
        (dumped(vllm_serve(detailed=True, ttfts=[0.1])), "$.ttfts: has 1 entries, and output_lens has 4"),
        (dumped(vllm_serve(detailed=True, itls=[[1.0], [1.0], [1.0], 1.0])), "$.itls[3]: is 1.0, not a list"),
        (dumped(vllm_serve(detailed=True, itls=[[1.0], [-1.0], [], []])), "$.itls[1][0]: is -1"),
        (dumped(vllm_serve(completed=10**30)), "$.completed: is 1e+30, and has to be from 0 to 1e+15"),
        (dumped(vllm_serve(completed="\x1b[2J4")), "$.completed: is '\\x1b[2J4', not a number"),
        (dumped({"benchmarks": [{"metrics": {"request_latency": 1}}]}), "$.benchmarks[0].metrics.request_totals"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(content: bytes, reason: str) -> None:
    assert reason in refusal(content)


def test_what_is_too_large_to_be_read_as_a_whole_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 1000)
    assert "is read as a whole: at most 0 MiB" in refusal(json.dumps(vllm_serve(detailed=True), indent=1).encode())


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = SourceFile.of(b"{}\n" + b"x" * 3000).lines(limit=2000)
    assert next(lines) == (1, b"{}\n")
    with pytest.raises(FormatError, match="line 2: is longer than"):
        next(lines)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(six_field([0.5]))
    (tmp_path / "link").symlink_to(plain)
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("link", "is a link"), (".", "is not a regular file"), ("pipe", "is not a regular file"),
        ("nothing", "No such file"), ("plain/below", "Not a directory"), ("nul\0byte", "null byte"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=reason):
            SourceFile.open(tmp_path / name)
    with SourceFile.open(plain) as found:
        assert found.name == "plain"
        assert read(found).form == "six-field JSONL"


def test_names_of_files_are_safe_to_show() -> None:
    found = SourceFile.of(b"", "\x1b]0;owned\x07evil\u202e.json")
    assert found.name.isprintable()
    with pytest.raises(FormatError) as caught:
        read(found)
    assert caught.value.message.isprintable()


# Anything at all

_VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**400, 1e308, 2**63, "", "x" * 5000, "\x1b[2J\u202e", "\ud800", [], {}, [[]], [None],
    [{"a": 1}], {"unit": 3, "avg": []}, [-1.0], [1e300], "nan",
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += _places(one, (*path, key))
    return found


def _changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Whatever one value of a file becomes, reading either works or raises the error that says where and why."""
    raw = FILES[name]
    documents = [json.loads(part) for part in (raw.splitlines() if name == "six-field JSONL" else [raw])]
    which = data.draw(st.integers(0, len(documents) - 1))
    path = data.draw(st.sampled_from(_places(documents[which])))
    documents[which] = _changed(documents[which], path, data.draw(st.sampled_from(_VALUES)))
    content = b"\n".join(map(dumped, documents))
    told = data.draw(st.sampled_from([Given(), Given(batch_size=2, output_len=4, input_len=3)]))
    said = outcome(content, told)
    assert said.isprintable()
    assert said.startswith("given.json") or not said


@pytest.mark.parametrize("name", [*FILES, "llama-bench csv"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_torn_and_flipped_files_are_read_or_refused(name: str, data: st.DataObject) -> None:
    raw = bytearray(FILES.get(name, llama_csv(LLAMA_TEST, LLAMA_TEST)))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 3))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(raw)).isprintable()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_is_refused(content: bytes) -> None:
    assert refusal(content).startswith("given.json")


def test_an_empty_list_of_benchmarks_is_no_report() -> None:
    assert "of no known form" in refusal(dumped({**guidellm(), "benchmarks": []}))
