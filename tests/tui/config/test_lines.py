"""Lines of the form: they fit, whatever they hold; and what is said above and below."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scenes import HOST, HOSTILE, gpus

from infertui.config.engines.registry import SPECS
from infertui.config.fields import FIELDS
from infertui.config.parse import decode
from infertui.config.schema import Config
from infertui.models.hub.progress import PullProgress, PullView
from infertui.models.local import LocalModel
from infertui.runner.control import Forecast, RunnerFacts, Snapshot
from infertui.runner.scheduling.queue_store import Entry
from infertui.targets.engine.base import Probe
from infertui.tui.config.forecast import ForecastRequest
from infertui.tui.config.form.base import from_config, from_preset
from infertui.tui.config.form.finding import found
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.groups import HEADINGS, first_page
from infertui.tui.config.form.notes import above, below
from infertui.tui.config.form.options import MachineInfo, choice_options, engine_options
from infertui.tui.config.form.view import Page, View, build_rows
from infertui.tui.state import ClientState
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

GIB = 1 << 30
EVIL = HOSTILE.replace("\x00", "")


def knowledge(count: int = 2) -> MachineInfo:
    client_state = ClientState()
    engines = (Probe("transformers", False, EVIL, remedy="Install it."), Probe("simulator", True, ""))
    facts = RunnerFacts("0", 1, 1, HOST, "", gpus=gpus(count, mig=2 if count else 0), engines=engines)
    client_state.take(Snapshot(0, facts, False, ()))
    return MachineInfo.of(client_state, (LocalModel("org/here", "hub", "/c", GIB, True, dtype="float16"),))


def page(form: Form, view: View | None = None, *, ascii_only: bool = False) -> Page:
    return Page(form, view or View(), knowledge(), RenderContext(DEFAULT_PALETTE, ascii_only))


def everything_open() -> View:
    view = View()
    view.toggled = dict.fromkeys(HEADINGS, False)
    return view


@settings(max_examples=40)
@given(
    st.integers(1, 200),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40).filter(str.strip),
    st.sampled_from(["off", "base", "default"]),
    st.booleans(),
)
def test_no_line_is_wider_than_there_is_room(width: int, text: str, difference: str, ascii_only: bool) -> None:
    form = Form(from_preset("demo", {}))
    form.set("model.id", text)
    form.set("workload.prompts_file", text)
    form.set(f"labels.{text.strip()}", text)
    form.sweep("workload.batch_size")
    form.set_text("workload.batch_size", "1-64*2")
    view = everything_open()
    view.difference = difference  # type: ignore[assignment]
    shown = page(form, view, ascii_only=ascii_only)
    for row in build_rows(form, view, width):
        line = shown.line(row, width)
        assert line.cell_len <= max(width, 12)
        assert "\n" not in line.plain
        if ascii_only:
            assert line.plain.isascii()
    for line in (*above(shown, width, 20), *below(shown, ForecastRequest(), None, width, 20)):
        assert line.cell_len <= width


@given(st.text(max_size=30))
def test_whatever_is_looked_for_there_is_a_list_of_keys(wanted: str) -> None:
    form = Form(from_preset("demo", {}))
    assert set(found(form, wanted)) <= set(form.all_keys())


def test_keys_are_found_by_name_by_description_and_by_what_others_call_them() -> None:
    form = Form(from_preset("demo", {}))
    assert found(form, "batch size") == ["workload.batch_size"]
    assert found(form, "osl") == ["workload.output_len"]
    assert found(form, "temperture") == ["workload.temperature"]
    assert found(form, "memory estimate") == ["device.force"]
    assert set(found(form, "seed")) == {"model.seed", "workload.seed"}


def lines_of(form: Form, view: View | None = None, width: int = 100) -> str:
    shown = page(form, view)
    return "\n".join(shown.line(row, width).plain.rstrip() for row in build_rows(form, shown.view, width))


def test_what_was_meant_stands_first_and_what_means_nothing_here_last() -> None:
    form = Form(from_preset("demo", {}))
    assert found(form, "batch")[0] == "workload.batch_size"
    assert found(form, "bat")[0] == "workload.batch_size"
    assert found(form, "prompts")[:2] == ["workload.prompts", "workload.prompts_file"]
    assert found(form, "max")[0].startswith("measurement.")
    hits = found(form, "max")
    live = [key in keys_shown(form) for key in hits]
    assert live == sorted(live, reverse=True)
    assert not all(live)
    form.set("engine.name", "vllm")
    assert found(form, "kv")[0].startswith("engine.vllm.")
    form.load(from_preset("load", {}))
    assert found(form, "rate")[0] == "load.request_rate"
    assert found(form, "model")[0] == "target.model"


def test_0_and_nothing_say_what_they_stand_for() -> None:
    form = Form(from_preset("load", {}))
    text = lines_of(form)
    for words in ("concurrency       one", "request_rate      as answers come", "slo               none"):
        assert words in text
    form.set("load.request_rate", 5)
    assert "concurrency       as many as come" in lines_of(form)
    assert "max_seconds       30, as usual" in lines_of(form)
    assert "num_prompts       as many as time allows" in lines_of(form)
    form.set("workload.num_prompts", 100)
    assert "max_seconds       no limit" in lines_of(form)
    form = Form(from_preset("baseline", {}))
    text = lines_of(form, everything_open())
    assert "input_len         from the prompts" in text
    assert "total_timeout_s   no limit" in text or "no limit" in text
    form.set("validity.max_drift", 0)
    assert "max_drift         off" in lines_of(form, everything_open())
    form.set("workload.input_len", 16)
    assert "from the prompts" not in lines_of(form)


def test_the_first_page_is_that_of_the_target() -> None:
    form = Form(from_preset("load", {}))
    ids = [row.id for row in build_rows(form, View(), 80)]
    assert ids == [*first_page(form.values), "#advanced"]
    assert ids[:4] == ["target.kind", "target.url", "target.model", "target.api"]
    form.set("target.serve", "vllm")
    ids = [row.id for row in build_rows(form, View(), 80)]
    assert "model.id" in ids
    assert "target.url" not in ids
    assert "engine.dtype" in keys_shown(form)  # the server is started with the engine's options


def test_a_value_that_is_cut_is_marked_and_a_path_keeps_its_end() -> None:
    form = Form(from_preset("demo", {}))
    form.set("model.id", "a-very-long-organisation/Llama-3.1-8B-Instruct")
    form.set("model.revision", "x" * 60)
    text = lines_of(form, everything_open(), width=34)
    assert "…" in text
    assert "8B-Instruct" in text
    assert max(map(len, text.splitlines())) <= 34


def test_names_and_values_stand_side_by_side_at_34_cells() -> None:
    text = lines_of(Form(from_preset("demo", {})), width=34)
    assert "batch_size" in text
    assert "synthetic:nano" in text


def test_where_a_value_came_from_and_what_is_allowed() -> None:
    form = Form(from_preset("demo", {"BATCH_SIZE": "4"}))
    form.set("measurement.iterations", 7)
    text = lines_of(form)
    assert "environment BATCH_SIZE; 1 to 65536" in text
    assert "preset demo; 1 to 1048576" in text
    assert "was 5; 0 to 10000000" in text


def test_what_the_machine_says_about_values() -> None:
    known = knowledge()
    assert known.devices() == ("auto", "cpu", "cuda:0", "cuda:1")
    said = {
        name: (remark.text if (remark := known.on_device(name)) else "") for name in ("cuda:1", "cuda:4", "auto", "cpu")
    }
    assert "80.0 GiB" in said["cuda:1"]
    assert "no GPU 4" in said["cuda:4"]
    assert "and 1 more" in said["auto"]
    assert said["cpu"] == ""
    none = knowledge(0).on_device("cuda")
    assert none is not None
    assert none.standing == "warning"
    models = {name: known.on_model(name) for name in ("org/here", "org/away", "synthetic:nano", "/a/b/c")}
    assert models["org/here"] is not None
    assert "1.00 GiB" in models["org/here"].text
    assert models["org/away"] is not None
    assert models["org/away"].text == "not on this machine: D downloads it"
    assert models["synthetic:nano"] is not None
    assert "random weights" in models["synthetic:nano"].text
    assert models["/a/b/c"] is None


def test_a_download_says_how_far_it_is() -> None:
    def told(*pulls: PullView) -> str:
        remark = msgspec.structs.replace(knowledge(), pulls=pulls).on_model("org/away")
        return remark.text if remark else ""

    halfway = PullProgress(GIB // 2, GIB, 0, "x", 0, 1)
    assert told(PullView("org/away")) == "downloading: asking the hub"
    assert told(PullView("org/away", progress=halfway)) == "downloading 50% of 1.00 GiB"
    assert told(PullView("org/away", progress=halfway, rate=GIB / 64)).endswith("16.0 MiB/s, 32.0 s left")
    assert told(PullView("org/away", progress=PullProgress(0, 0, 0, "", 0, 0))) == "downloading 100% of 0 B"
    assert told(PullView("org/away", state="failed", problem="it is gated")) == "not downloaded: it is gated"
    assert told(PullView("org/away", state="cancelled")) == "not on this machine: D downloads it"
    assert told(PullView("org/other")) == "not on this machine: D downloads it"
    assert "needs" not in told(PullView("org/here"))


def keys_shown(form: Form, view: View | None = None) -> set[str]:
    return {row.path for row in build_rows(form, view or everything_open(), 80) if row.kind == "field"}


def test_every_key_of_the_schema_has_a_line_with_an_engine_that_heeds_it() -> None:
    form = Form(from_preset("demo", {}))
    everywhere = set()
    for name, spec in SPECS.items():
        form.set("engine.name", name)
        if "speculation" in spec.common:
            form.set("engine.speculation", "draft-model")
        everywhere |= keys_shown(form)
        ids = [row.id for row in build_rows(form, everything_open(), 80)]
        assert len(ids) == len(set(ids))
    form.set("target.kind", "endpoint")
    form.set("capacity.by", "rate")
    everywhere |= keys_shown(form)
    assert everywhere == set(form.all_keys())


def test_an_endpoint_has_lines_of_a_load_and_none_of_engines() -> None:
    form = Form(from_preset("load", {}))
    shown = keys_shown(form)
    assert {"target.url", "load.concurrency", "load.slo", "workload.output_len", "measurement.max_seconds"} <= shown
    assert not {key for key in shown if key.startswith(("engine.", "model.", "quality.", "device."))}
    assert "workload.batch_size" not in shown
    assert {key for key in shown if key.startswith("capacity.")} == {"capacity.by"}
    form.set("target.kind", "engine")
    assert not {key for key in keys_shown(form) if key.startswith("load.")}
    assert "engine.name" in keys_shown(form)


def test_only_what_the_engine_heeds_has_a_line() -> None:
    form = Form(from_preset("demo", {}))
    assert "engine.mode" in keys_shown(form)
    assert "engine.draft_model" not in keys_shown(form)
    assert "engine.simulator.ttft_ms" not in keys_shown(form)
    form.set("engine.name", "simulator")
    assert "ttft_ms" in lines_of(form, everything_open())
    assert not {"engine.mode", "engine.transformers.tuning"} & keys_shown(form)
    form.set("engine.name", "llama-cpp")
    heading = next(line for line in lines_of(form, everything_open()).splitlines() if "▾ llama-cpp" in line)
    assert "layers on the GPU" in heading


def test_what_the_engine_does_not_heed_is_found_and_says_why() -> None:
    form = Form(from_preset("demo", {}))
    form.set("engine.name", "llama-cpp")
    view = View()
    view.wanted = "mode"
    assert "llama-cpp takes no engine.mode" in lines_of(form, view)
    form.set("engine.name", "simulator")
    view.wanted = "layers"
    narrow = lines_of(form, view)
    assert "….n_gpu_layers" in narrow  # which of the table's keys it is
    form.set("engine.name", "llama-cpp")
    view.wanted = "kv_cache_mib"
    assert "only with the engine vllm" in lines_of(form, view)


def test_the_words_of_an_option_are_the_engine_s_and_auto_says_what_it_comes_to() -> None:
    form = Form(from_preset("demo", {}))
    form.set("engine.name", "vllm")
    line = next(line for line in lines_of(form, everything_open()).splitlines() if line.strip().startswith("mode "))
    assert "comes to compile" in line
    assert "auto, eager, compile" in line
    offered = {option.value: option.detail for option in choice_options(FIELDS["engine.mode"], form.values)}
    assert set(offered) == {"auto", "compile", "eager"}
    assert "comes to compile" in offered["auto"]
    form.sweep("engine.name")
    form.set_text("engine.name", "vllm,transformers")
    line = next(line for line in lines_of(form, everything_open()).splitlines() if line.strip().startswith("mode "))
    assert "comes to compile with vllm, eager with" in line


def test_a_key_that_an_error_is_about_has_a_line() -> None:
    form = Form(from_config(decode({}), "run x", "x"))
    form.sweep("engine.name")
    form.set_text("engine.name", "llama-cpp,simulator")
    form.sweep("engine.mode")
    form.set_text("engine.mode", "eager")
    assert form.problem is not None
    assert "engine.mode" in keys_shown(form)


def said_below(form: Form, forecast: Forecast | None, trouble: str = "", width: int = 100) -> str:
    question = ForecastRequest()
    question.change(form.config())
    question.take()
    question.answered(forecast, trouble)
    return "\n".join(line.plain.rstrip() for line in below(page(form), question, None, width, 20))


def test_a_forecast_that_takes_its_time_says_what_may_take_it() -> None:
    form, question = Form(from_preset("demo", {})), ForecastRequest()
    question.change(form.config())
    question.take()

    def said() -> str:
        return " ".join(line.plain.strip() for line in below(page(form), question, None, 100, 20))

    assert "estimating" in said()
    assert "Transformers" not in said()
    question.slow = True
    assert "estimating: Transformers is asked once what a model of a new kind is, 90 s at most" in said()
    question.answered(None, "no runner")
    assert "no estimate: no runner" in said()
    assert not question.slow


def test_the_forecast_in_a_line() -> None:
    form = Form(from_preset("demo", {}))
    fits = Forecast(("a", "b"), True, needed=3 * GIB, free=78 * GIB, seconds=90.0)
    assert "needs 3.00 GiB of 78.0 GiB free: fits; about 1:30" in said_below(form, fits)
    assert "does not fit" in said_below(form, Forecast((), False, needed=3, free=2))
    assert "may not fit" in said_below(form, Forecast((), None, needed=3, free=2))
    assert "the simulator loads no model" in said_below(form, Forecast(("the simulator loads no model",), None))
    assert "no estimate: offline" in said_below(form, None, "offline")
    form.sweep("workload.batch_size")
    form.set_text("workload.batch_size", "1,8")
    assert "bs=8: needs" in said_below(form, fits)
    assert "1:30 each" in said_below(form, fits)


def test_what_stands_above_the_form() -> None:
    form = Form(from_preset("demo", {}))

    def said() -> str:
        return "\n".join(line.plain.rstrip() for line in above(page(form), 80, 24))

    assert said() == "press r to run this"
    form.set("workload.batch_size", 2)
    assert said() == ""
    form.sweep("workload.batch_size")
    form.set_text("workload.batch_size", "1,2")
    assert said() == "2 runs (grid): bs=1, bs=2"
    config: Config = decode({})
    form.load(from_config(config, "queue entry 7", "demo"), Entry(7, 1, "demo", "bs=1", config, "/r", ""))
    assert "editing queue entry 7, demo bs=1" in said()


def test_what_never_ran_is_said_before_a_remedy_that_may_be_cut() -> None:
    client_state = ClientState()
    engines = (Probe("tensorrt-llm", False, "not installed", remedy="Long words. " * 30),)
    client_state.take(Snapshot(0, RunnerFacts("0", 1, 1, HOST, "", engines=engines), False, ()))
    notes = {option.value: option.note for option in engine_options(MachineInfo.of(client_state, ()))}
    assert notes["tensorrt-llm"].startswith("not run on hardware")
    assert "not installed" in notes["tensorrt-llm"]
