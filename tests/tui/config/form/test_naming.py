"""What runs are called: by what differs, whatever that is."""

from hypothesis import given
from hypothesis import strategies as st

from infertui.text import CONTROLS
from infertui.tui.config.form.base import from_defaults, from_preset, from_text
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.naming import file_name, renamed, title_of

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60).filter(str.strip)


def name(form: Form) -> str:
    return " ".join(title_of(form)).strip()


def test_a_preset_is_called_after_itself_and_what_was_changed() -> None:
    form = Form(from_preset("demo", {}))
    assert name(form) == "demo"
    form.set("model.id", "openai-community/gpt2")
    form.set("engine.quantization", "int8")
    form.set("workload.batch_size", 8)
    assert name(form) == "demo gpt2 int8 bs=8"
    assert file_name(form) == "demo-gpt2-int8-bs8"
    form.set("workload.batch_size", 1)
    assert name(form) == "demo gpt2 int8"


def test_the_defaults_are_called_after_the_model() -> None:
    form = Form(from_defaults({}))
    form.set("model.id", "meta-llama/Llama-3.1-8B")
    form.set("workload.batch_size", 8)
    assert name(form) == "Llama-3.1-8B bs=8"


def test_the_words_of_a_run_are_brought_up_to_date() -> None:
    form = Form(from_text("[workload]\nbatch_size = 4\n[engine]\ndtype = 'float16'\n", "x", "demo gpt2 float16 bs=4"))
    assert name(form) == "demo gpt2 float16 bs=4"
    form.set("workload.batch_size", 16)
    form.set("engine.dtype", "bfloat16")
    assert name(form) == "demo gpt2 bfloat16 bs=16"
    assert renamed("bs=4", form) == "bs=16 bfloat16"


def test_a_server_is_called_by_its_host_and_no_password_is_told() -> None:
    form = Form(from_preset("load", {}))
    form.set("target.url", "https://me:secret@box.example:8000/v1")
    form.set("load.concurrency", 16)
    assert name(form) == "load box.example:8000 concurrency=16"


def test_of_very_much_that_differs_some_is_named() -> None:
    form = Form(from_preset("demo", {}))
    for number in range(30):
        form.set(f"labels.note{number}", "x")
    assert len(name(form).split()) == 7


@given(TEXT, TEXT)
def test_names_are_one_line_and_file_names_are_files(model: str, label: str) -> None:
    form = Form(from_preset("demo", {}))
    form.set("model.id", model)
    form.set(f"labels.{label.strip()}", label)
    form.set("target.url", model)
    assert not CONTROLS & set(name(form))
    assert name(form).split(" ")[0] == "demo"
    assert "/" not in file_name(form)
    assert 0 < len(file_name(form)) <= 80
