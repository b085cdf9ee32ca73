import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from infertui.config import toml, toml_text
from infertui.config.engine_options import applies, limits_with
from infertui.config.engines.registry import SPECS
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, Field
from infertui.config.parse import build, decode
from infertui.config.schema import Config, ModelConfig, SweepConfig
from infertui.errors import ConfigError
from infertui.text import clean

_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_hostile = st.sampled_from(
    ['"""', "'''", "\\", "\r\n", "\x1b[2J", "\x7f\x85\u2028", "#", "]\n[device]\nforce = true", "\ufeff"]
)


def _values(field: Field) -> st.SearchStrategy[Any]:
    choices: st.SearchStrategy[Any] = st.sampled_from(field.choices) if field.choices else st.nothing()
    if field.type == "integer":
        return choices | st.integers(int(field.minimum or 0), int(field.maximum or 0))
    if field.type == "number":
        return st.floats(field.minimum, field.maximum, exclude_min=field.above_minimum)
    if field.type == "boolean":
        return st.booleans()
    if field.path == "device.name":
        return st.sampled_from(["auto", "cpu", "cuda", "cuda:7"])
    if field.path == "device.visible":
        return st.sampled_from(["", "-1", "0,1", "GPU-0aF, 2"])
    if field.type == "text":
        return (_text | _hostile).filter(lambda text: bool(text.strip()) or field.path != "model.id")
    return choices


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Valid configs of every kind, with hostile texts."""
    leaves = [field for field in FIELDS.values() if not field.is_table]
    changed = draw(st.lists(st.sampled_from(leaves), unique_by=lambda field: field.path, max_size=8))
    flat = {field.path: draw(_values(field)) for field in changed}
    for key, value in draw(st.dictionaries(_text | _hostile, _text | _hostile, max_size=3)).items():
        if key.strip():
            flat[f"labels.{key}"] = value
    for field in draw(st.lists(st.sampled_from(leaves), unique_by=lambda field: field.path, max_size=2)):
        flat[f"sweep.grid.{field.path}"] = draw(st.lists(_values(field), min_size=1, max_size=3, unique=True))
    try:
        return build(flat)
    except ConfigError:
        assume(False)
        raise


def _exactly(config: Config) -> bytes:
    """As JSON: there 1, 1.0 and true differ."""
    return msgspec.json.encode(config)


@given(configs())
@example(Config(labels={"a.b": '"\n[device]', "\x1b": "\ufeff\x7f\\u0041"}))
@example(Config(sweep=SweepConfig(grid={"labels.x y": "a,b", "workload.batch_size": "1-8*2"})))
def test_what_is_written_reads_back_the_same(config: Config) -> None:
    text = toml.write(config)
    assert _exactly(decode(toml_text.loads(text.encode(), "x"))) == _exactly(config)


@given(configs())
def test_a_written_file_holds_no_control_characters(config: Config) -> None:
    comments = [line for line in toml.write(config).split("\n") if line.startswith("#")]
    assert all(clean(line) == line for line in comments)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_a_written_file_is_complete_and_explains_every_key_that_the_engine_heeds(spec: EngineSpec) -> None:
    text = toml.write(decode({"engine": {"name": spec.name}}))
    lines = text.splitlines()
    for field in FIELDS.values():
        if not field.is_table and applies(spec, field.path):
            value = spec.name if field.path == "engine.name" else field.default
            position = lines.index(toml.literal(field.key, value).strip(), lines.index(f"[{field.section}]"))
            above = " ".join(line.removeprefix("# ") for line in lines[max(0, position - 6) : position])
            assert field.description in above
            assert limits_with(field, [spec]) in above
            assert "default: " in above
    assert {"[labels]", "[sweep.grid]", "[sweep.zip]"} <= set(lines)
    assert max(map(len, lines)) <= 100


def test_a_written_file_leaves_out_what_the_engine_does_not_heed() -> None:
    lines = toml.write(decode({"engine": {"name": "llama-cpp"}})).splitlines()
    assert not {"[engine.vllm]", "[engine.simulator]", 'mode = "auto"', "tensor_parallel = 1"} & set(lines)
    assert {"[engine.llama_cpp]", "n_gpu_layers = -1"} <= set(lines)
    kept = decode({"engine": {"vllm": {"kv_cache_mib": 64}}})
    assert "kv_cache_mib = 64" in toml.write(kept).splitlines()
    several = toml.write(decode({"sweep": {"grid": {"engine.name": ["vllm", "openvino"]}}})).splitlines()
    assert {"[engine.vllm]", "[engine.openvino]"} <= set(several)
    assert "[engine.transformers]" not in several


def test_lists_stay_on_one_line() -> None:
    config = Config(sweep=SweepConfig(grid={"workload.batch_size": [1, 2], "engine.dtype": ["float16", "auto"]}))
    lines = toml.write(config).splitlines()
    assert '"workload.batch_size" = [1, 2]' in lines
    assert '"engine.dtype" = ["float16", "auto"]' in lines


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b'\xef\xbb\xbf[model]\r\nid = "a/b"\r\n')
    assert toml.read(file) == {"model": {"id": "a/b"}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[workload]\nbatch_size = \n", r"Invalid value \(at line 2, column 14\)"),
        (b"[workload]\nbatch_size = four\n", r"at line 2, column 14"),
        (b"x = 1\nx = 2", r"at line 2, the end"),
        (b"[a]\n[a]", r"at line 2, column 3"),
        (b"a = 1\n\xff\n", r"not UTF-8 text \(at line 2, byte 1\)"),
        (b"x = " + b"[" * 100_000, "too deeply"),
        (b"x = " + b"9" * 10_000, "integer of more than"),
        (b"x = 1 \x1b[2J", r"at line 1"),
        (b"#" * (toml.MAX_BYTES + 1), "larger than 2 MiB"),
    ],
)
def test_a_broken_file_is_named_with_line_and_column(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        toml.read(file)
    assert str(file) in str(caught.value)
    assert clean(str(caught.value), lines=True) == str(caught.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        toml.read(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        toml.read(tmp_path)
    with pytest.raises(ConfigError, match="no file name"):
        toml.read("a\0b.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        toml.read(tmp_path / ("x" * 5000))


_WRITTEN = toml.write(Config(ModelConfig(id="a/b"), labels={"owner": "me"})).encode()
_SNIPPETS = (b"=", b"[", b"]", b'"', b"'", b"\n", b".", b",", b"{", b"}", b"#", b"\\u", b"nan", b"inf",
             b"true", b"-1", b"0x", b"1e9999", b"1979-05-27", b"\x00", b"\xff", b"[[", b"'''", b'"""',
             b"workload", b" ")  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file after some cuts, doublings and foreign bytes."""
    lines = [line for line in _WRITTEN.split(b"\n") if line and not line.startswith(b"#")]
    content = b"\n".join(draw(st.lists(st.sampled_from(lines), max_size=12)) if draw(st.booleans()) else lines)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        cut = draw(st.integers(0, 6))
        content = content[:start] + draw(st.sampled_from(_SNIPPETS) | st.binary(max_size=3)) + content[start + cut :]
    return content


@given(damaged() | st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_a_damaged_file_gives_a_config_or_a_config_error(content: bytes) -> None:
    try:
        decode(toml_text.loads(content, "damaged.toml"), "file damaged.toml")
    except ConfigError as caught:
        message = str(caught)
    else:
        message = ""
        tomllib.loads(content.decode("utf-8-sig"))
    assert clean(message, lines=True) == message
