"""The form: what is typed, what is undone, and that a file gives back what was saved."""

import shlex
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config import toml_text
from infertui.config.fields import FIELDS, Field, Value
from infertui.config.parse import FlatValue, flat_values
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.errors import ConfigError, UsageError
from infertui.tui.config.command import command_line
from infertui.tui.config.form import values as texts
from infertui.tui.config.form.base import from_config, from_defaults, from_file, from_preset, from_text
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.values import step

PLAIN = [path for path, field in FIELDS.items() if not field.is_table]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def rearranged(form: Form) -> Config:
    form.rearrange()
    return form.config()


def demo() -> Form:
    return Form(from_preset("demo", {}))


def values_of(field: Field) -> st.SearchStrategy[Value]:
    """Values that the field takes."""
    words = st.sampled_from(field.choices) if field.choices else st.nothing()
    low, high = field.minimum or 0, field.maximum or 0
    match field.type:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(int(low), int(high)) | words
        case "number":
            return st.floats(low, high, exclude_min=field.above_minimum).map(lambda value: value + 0.0)
        case "choice":
            return words
    if field.pattern:
        known = {
            "model.id": WORDS.map(lambda text: f"m{text}"),
            "device.name": st.just("cuda:3"),
            "quality.reference": st.sampled_from(["auto", "none", "20261120-094130-a-run-1a2b"]),
        }
        return known.get(field.path, st.sampled_from(["", "-1", "0,1"]))
    return WORDS


PAIRS = st.sampled_from(PLAIN).flatmap(lambda path: st.tuples(st.just(path), values_of(FIELDS[path])))
LABELS = st.tuples(WORDS.filter(str.strip).map(lambda key: f"labels.{key.strip()}"), WORDS)
EDITS = st.lists(PAIRS | LABELS, max_size=6)


@given(PAIRS)
def test_a_value_is_read_back_from_its_text(pair: tuple[str, Value]) -> None:
    path, value = pair
    read = texts.parse(path, texts.value_text(value))
    assert read == value
    assert type(read) is type(value)


@given(st.sampled_from(PLAIN), WORDS)
def test_what_is_typed_is_taken_or_refused_in_words(path: str, typed: str) -> None:
    form = demo()
    before = dict(form.values)
    refused = None
    try:
        form.set_text(path, typed)
    except ConfigError as error:
        refused = error
    if refused is None:
        assert texts.parse(path, form.text(path)) == form.values[path]
    else:
        assert refused.problem
        assert form.values == before
        assert "\n" not in texts.explain(refused)


@given(EDITS)
def test_undo_goes_all_the_way_back(edits: list[tuple[str, Value]]) -> None:
    form = demo()
    seen: list[Mapping[str, FlatValue]] = [form.values]
    for path, value in edits:
        form.set(path, value)
        if form.values != seen[-1]:
            seen.append(form.values)
    for values in reversed(seen[:-1]):
        assert form.undo()
        assert form.values == values
    assert not form.undo()


@given(EDITS)
def test_the_form_as_a_file_gives_back_the_form(edits: list[tuple[str, Value]]) -> None:
    form = demo()
    for path, value in edits:
        form.set(path, value)
    if form.problem is not None:
        with pytest.raises(ConfigError):
            form.toml()
        return
    again = Form(from_text(form.toml(), "again"))
    assert again.values == form.values
    assert again.config() == form.config()


@given(EDITS)
def test_the_command_line_asks_for_the_same(edits: list[tuple[str, Value]]) -> None:
    form = demo()
    for path, value in edits:
        form.set(path, value)
    assert form.problem is not None or asked_for(form) in (None, flat_values(form.config()))


def asked_for(form: Form) -> dict[str, FlatValue] | None:
    """The flat values that the form's command line stands for; None where there is no such command line."""
    try:
        words = shlex.split(command_line(form))
    except UsageError:
        return None
    assert words[:2] == ["infertui", "run"]
    target = words[2] if len(words) > 2 and not words[2].startswith("--") else None
    given_words = words[3:] if target else words[2:]
    pairs = list(zip(given_words[::2], given_words[1::2], strict=True))
    sets = [text for flag, text in pairs if flag == "--set"]
    sweeps = [text.partition("=") for flag, text in pairs if flag == "--sweep"]
    flags: dict[str, tuple[str, object]] = {f"sweep.grid.{key}": ("--sweep", text) for key, _, text in sweeps}
    return flat_values(load(target, environ={}, sets=sets, flags=flags).config)


@given(PAIRS, st.sampled_from([1, -1]))
def test_a_step_leads_to_a_value_that_is_allowed(pair: tuple[str, Value], direction: int) -> None:
    path, value = pair
    after = step(FIELDS[path], value, direction)
    assert after is None or FIELDS[path].check(after) == after


@pytest.mark.parametrize(
    ("path", "value", "after"),
    [
        ("workload.batch_size", 1, 2), ("workload.batch_size", 3, 4), ("workload.batch_size", 65536, 65536),
        ("workload.input_len", 0, 1), ("measurement.warmup", "auto", 0), ("measurement.warmup", 3, 4),
        ("workload.temperature", 0.0, 0.1), ("workload.temperature", 0.2, 0.3), ("measurement.max_seconds", 0.0, 1.0),
        ("measurement.max_seconds", 20.0, 50.0), ("engine.dtype", "bfloat16", "auto"), ("device.force", False, True),
        ("workload.seed", 7, 8), ("model.revision", "main", None),
    ],
)  # fmt: skip
def test_steps_are_sensible(path: str, value: Value, after: Value | None) -> None:
    assert step(FIELDS[path], value, 1) == after


@pytest.mark.parametrize(
    ("path", "value", "after"),
    [
        ("workload.batch_size", 8, 4), ("workload.batch_size", 5, 4), ("workload.batch_size", 1, 1),
        ("workload.input_len", 1, 0), ("measurement.warmup", 0, "auto"), ("measurement.warmup", "auto", "auto"),
        ("workload.top_p", 0.05, 0.05), ("measurement.max_seconds", 1.0, 0.0), ("engine.dtype", "auto", "bfloat16"),
    ],
)  # fmt: skip
def test_steps_down_end_at_what_is_allowed(path: str, value: Value, after: Value) -> None:
    assert step(FIELDS[path], value, -1) == after


def test_devices_step_through_what_the_machine_has() -> None:
    field, options = FIELDS["device.name"], ("auto", "cpu", "cuda:0", "cuda:1")
    assert step(field, "cpu", 1, options) == "cuda:0"
    assert step(field, "cuda:7", 1, options) == "auto"


def test_a_value_goes_back_to_the_preset_s_not_to_the_default() -> None:
    form = demo()
    form.set_text("workload.output_len", "128")
    assert form.changed("workload.output_len")
    assert form.origin("workload.output_len") == "edited"
    assert form.reset("workload.output_len")
    assert form.text("workload.output_len") == "512"
    assert form.origin("workload.output_len") == "preset demo"
    assert not form.reset("workload.output_len")


def test_what_the_environment_sets_is_said() -> None:
    form = Form(from_preset("demo", {"BATCH_SIZE": "4"}))
    assert form.text("workload.batch_size") == "4"
    assert form.origin("workload.batch_size") == "environment BATCH_SIZE"


def test_a_contradiction_is_named_and_keeps_the_config_back() -> None:
    form = demo()
    form.set("workload.prompts", "random")
    assert form.problem is not None
    assert form.problem.path == "workload.input_len"
    with pytest.raises(ConfigError, match="random prompts need a length"):
        form.config()
    form.set("workload.input_len", 64)
    assert form.problem is None


def test_an_axis_takes_lists_and_ranges_and_makes_runs() -> None:
    form = demo()
    form.sweep("workload.batch_size")
    assert form.text("workload.batch_size") == "1"
    form.set_text("workload.batch_size", "1-8*2")
    form.sweep("engine.dtype")
    form.set_text("engine.dtype", "float32,bf16")
    assert form.run_count() == 8
    assert [variant.name for variant in form.variants() or []][:2] == ["bs=1 dtype=float32", "bs=1 dtype=bfloat16"]
    assert form.axis_length("workload.batch_size") == 4
    with pytest.raises(ConfigError, match="differ in length"):
        rearranged(form)
    form.set_text("workload.batch_size", "1,2")
    assert form.arrangement == "zip"
    assert form.run_count() == 2
    form.unsweep("engine.dtype")
    assert form.axes() == ["workload.batch_size"]


def test_a_variant_that_contradicts_itself_is_a_problem_of_the_form() -> None:
    form = demo()
    form.set("workload.prompts", "random")
    form.sweep("workload.input_len")
    form.set_text("workload.input_len", "0,16")
    assert form.problem is not None
    assert "isl=0" in form.problem.source


def test_a_sweep_too_large_to_expand_at_every_key_is_counted() -> None:
    form = demo()
    for key in ("workload.batch_size", "workload.output_len"):
        form.sweep(key)
        form.set_text(key, "1-60+1")
    assert form.run_count() == 3600
    assert form.variants() is None
    assert form.problem is None


def test_axes_with_commas_in_their_values_are_lists() -> None:
    form = demo()
    form.add_label("owner = me")
    form.sweep("labels.owner")
    form.set_text("labels.owner", '["a, b", "c"]')
    assert form.axis_length("labels.owner") == 2
    assert form.text("labels.owner") == '["a, b", "c"]'
    with pytest.raises(UsageError, match="command line"):
        command_line(form)
    with pytest.raises(ConfigError, match="no list"):
        form.set_text("labels.owner", '["a')


@given(st.lists(WORDS, min_size=1, max_size=4, unique=True))
def test_an_axis_of_any_text_is_read_back_from_its_text(values: list[str]) -> None:
    text = texts.axis_text("labels.x", list(values))
    read = texts.parse("sweep.grid.labels.x", text)
    assert texts.axis_text("labels.x", read if isinstance(read, str | list) else "") == text
    assert "\n" not in text


@given(
    st.lists(st.sampled_from(["workload.batch_size", "workload.seed", "engine.dtype"]), max_size=3),
    st.sampled_from(["1,2", "2,4", "float32,bfloat16"]),
    st.booleans(),
    EDITS,
)
def test_a_sweep_survives_file_and_command_line(
    keys: list[str], typed: str, together: bool, edits: list[tuple[str, Value]]
) -> None:
    form = demo()
    for key in keys:
        if not form.is_swept(key):
            form.sweep(key)
            try:
                form.set_text(key, typed)
            except ConfigError:
                form.unsweep(key)
    if together:
        form.rearrange()
    if form.problem is not None:
        return
    assert Form(from_text(form.toml(), "again")).values == form.values
    assert asked_for(form) in (None, flat_values(form.config()))
    later = Form(from_config(form.config(), "here", "here"))
    for path, value in edits:
        later.set(path, value)
    assert later.problem is not None or asked_for(later) in (None, flat_values(later.config()))


def test_an_axis_that_ends_is_said_on_the_command_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("c") / "sweep.toml"
    file.write_text('[sweep.grid]\n"workload.batch_size" = "1,2"\n[labels]\nowner = "me"\n')
    form = Form(from_file(file, {}))
    form.unsweep("workload.batch_size")
    assert command_line(form) == f"infertui run {file} --set workload.batch_size=1"
    form.undo()
    form.rearrange()
    assert asked_for(form) == flat_values(form.config())
    form.undo()
    form.remove("labels.owner")
    assert asked_for(form) == flat_values(form.config())


def test_labels_come_and_go() -> None:
    form = demo()
    assert form.add_label(" owner = me = you ") == "labels.owner"
    assert form.text("labels.owner") == "me = you"
    assert form.reset("labels.owner")
    assert form.text("labels.owner") == ""
    with pytest.raises(ConfigError, match="key = value"):
        form.add_label("owner")


def test_loading_something_else_can_be_undone() -> None:
    form = demo()
    form.set("workload.batch_size", 8)
    form.load(from_defaults({}))
    assert form.text("workload.batch_size") == "1"
    form.undo()
    assert form.text("workload.batch_size") == "8"
    assert form.base.label == "preset demo"


def test_a_saved_form_is_what_later_changes_are_compared_with() -> None:
    form = demo()
    form.set("workload.batch_size", 8)
    form.saved(from_config(form.config(), "file x.toml", "x"))
    assert not form.changed("workload.batch_size")
    assert toml_text.loads(form.toml().encode(), "x")["workload"]


def test_another_engine_keeps_the_options_that_it_takes_and_resets_the_others_with_a_note() -> None:
    form = demo()
    form.set("engine.dtype", "bfloat16")
    form.set("engine.mode", "cudagraph")
    form.set("engine.speculation", "draft-model")
    form.set("engine.draft_model", "synthetic:nano")
    form.set("engine.transformers.tuning", "max-autotune")
    before = dict(form.values)
    note = form.set("engine.name", "llama-cpp")
    assert form.values["engine.dtype"] == "bfloat16"
    assert (form.text("engine.mode"), form.text("engine.speculation"), form.text("engine.draft_model")) == (
        *("auto", "none"),
        "",
    )
    assert form.values["engine.transformers.tuning"] == "max-autotune"
    assert form.problem is None
    for said in ("llama-cpp does not take", "engine.mode = cudagraph", "engine.draft_model = synthetic:nano"):
        assert said in note
    assert form.undo()
    assert form.values == before
    assert form.set("engine.name", "vllm").count("engine.") == 1


def test_an_axis_that_the_next_engine_does_not_take_ends() -> None:
    form = demo()
    form.sweep("engine.mode")
    form.set_text("engine.mode", "eager,static")
    form.sweep("engine.transformers.tuning")
    assert "eager,static" in form.set("engine.name", "vllm")
    assert form.axes() == []
    assert form.problem is None


def test_whoever_subscribed_is_told_of_every_change_and_of_nothing_else() -> None:
    form, told = Form(from_preset("demo", {})), []
    form.subscribe(lambda: told.append(form.text("workload.batch_size")))
    form.set("workload.batch_size", 8)
    form.set("workload.batch_size", 8)
    form.check("workload.batch_size", "9")
    form.sweep("workload.batch_size")
    form.undo()
    form.undo()
    assert not form.undo()
    assert told == ["8", "8", "8", "1"]
