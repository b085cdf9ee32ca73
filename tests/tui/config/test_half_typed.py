"""What is on a line while something is typed there, whatever it will be: an answer or a sentence, nothing else."""

import itertools
import random
import re

import pytest

from infertui.analysis.cost.total import parse_load
from infertui.config.fields import FIELDS
from infertui.errors import InfertuiError, UsageError
from infertui.text import CONTROLS
from infertui.tui.config.config_file import meant, path_of
from infertui.tui.config.form.base import from_defaults
from infertui.tui.config.form.editor import FieldText
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.values import parse
from infertui.tui.config.form.view import FormRow
from infertui.tui.results.bench_dialog import rounds_of
from infertui.tui.settings.stored import fields

VALUES = (
    "1,2,8-32*2", "1-", "-1", "0", "1e400", "-1e-400", "1_000", "0x10", "1e5", "9" * 40, "9" * 5000, "1.5", ".5",
    "5.", "NaN", "-inf", "infinity", "+1", "١٢٣", "½", "1-100000000", "1-1e9*2", "1-9*1", "1-9*0", "9-1", "1--2",
    "1**2", ",", "1,", ",1", "1,,2", "1, 2 ,3", "true", "True", "yes", "no", "on", "none", "null", "auto", "cuda:3",
    "cuda:99999999999", "cuda:-1", "cuda:٣", "cpu", "GPU-0,MIG-1", "-1,0", "0,0", '"quoted"', "'single'", '"""',
    "[1, 2]", "[[[[", "{a = 1}", "a = b", "= 1", "a.b = c", "sweep.x = 1", "labels. = 1", "key = value = more",
    "#comment", "\\", "\\u0000", "\\x41", "%s %d {0} {x} $HOME", "~", "~root/x", "~nobody-at-all/x", "/", "//",
    "./..", "../../../etc/passwd", "/proc/self/mem", "/dev/zero", "/dev/stdin", "a" * 300, "/x/" + "a" * 300 + "/x",
    "b/" * 2500 + "x", "x.toml/y", ".toml", "a b/c d", "模型", "e\u0301" * 5, "👨\u200d👩\u200d👧", "\u202eabc\u202c",
    "synthetic:", "synthetic:nano", "synthetic:../x", "org/name", "org/na me", "org//name", "-n", "--help",
    "2000 tok/s", "5 req/s", "5 req / s", "1e999 tok/s", "0 req/s", "-1 tok/s", "tok/s", "1 tok/s/s", "EUR", "€",
    "queue.cancel=X; app.zoom=f5", ";;;", "=;=", "a=;b=", "10%", "110%", "30 %", "1h", "1 GiB", "20GiB", "5 ms",
    "20261120-094130-a-run-1a2b", "2026-11-20", "24:61", "\t", " ", "[bold]x[/]",
)  # fmt: skip
PREFIXES = [*dict.fromkeys(text[:end] for text in VALUES for end in itertools.chain(range(40), (len(text),)))]
AXES = ("sweep.workload.batch_size", "sweep.engine.mode", "sweep.zip", "labels.mine", "nothing")


def said(problem: str, text: str) -> None:
    """A sentence on one or few lines, without control characters, that does not repeat all of a long text."""
    assert problem == problem.strip(), (text, problem)
    assert not set(problem) & (CONTROLS - {"\n"}), (text, problem)
    assert len(problem) < 1500, (text, problem)
    assert not re.search(r"Traceback|<class|object at 0x", problem), (text, problem)


@pytest.mark.parametrize("path", [path for path, field in FIELDS.items() if not field.is_table])
def test_every_field_of_the_form_answers(path: str) -> None:
    """A hundred of them each, others for every field: all of them take half a minute."""
    form = Form(from_defaults({}))
    typing = FieldText(form, FormRow(path, "field", "", path), form.text(path))
    for text in random.Random(path).sample(PREFIXES, 100):
        said(typing.problem(text), text)


@pytest.mark.parametrize("key", AXES)
def test_axes_and_labels_answer(key: str) -> None:
    for text in random.Random(key).sample(PREFIXES, 100):
        try:
            parse(key, text)
        except InfertuiError as error:
            said(str(error), text)


def test_a_label_and_a_file_name_answer_every_prefix() -> None:
    form = Form(from_defaults({}))
    for text in PREFIXES:
        said(FieldText(form, FormRow("", "new-label", ""), "").problem(text), text)
        for answer in (path_of, meant):
            try:
                answer(text, {"HOME": "/nonexistent"})
            except UsageError as error:
                said(str(error), text)


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.name)
def test_every_setting_answers_every_prefix(field: object) -> None:
    for text in PREFIXES:
        try:
            field.parse(text)  # type: ignore[attr-defined]
        except UsageError as error:
            said(str(error), text)


def test_rounds_and_loads_answer_every_prefix() -> None:
    for text in PREFIXES:
        rounds_of(text)
        try:
            parse_load(text)
        except UsageError as error:
            said(str(error), text)


def test_so_many_prefixes_are_typed() -> None:
    assert len(VALUES) > 100
    assert len(PREFIXES) > 700
