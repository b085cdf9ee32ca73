import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.filters import DOCUMENTED, KEY_NAMES, OPERATORS, prefixes, written

from infertui.metrics.filter import FilterError, Term, parse
from infertui.metrics.registry import metrics
from infertui.results.filter import where


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("   ", ()),
        ("Llama", (Term("", ":", "llama"),)),
        ("a b", (Term("", ":", "a"), Term("", ":", "b"))),
        ("synthetic:gpt2-124m", (Term("", ":", "synthetic:gpt2-124m"),)),
        ("meta-llama/Llama:x", (Term("", ":", "meta-llama/llama:x"),)),
        ('"two words" x', (Term("", ":", "two words"), Term("", ":", "x"))),
        ('"batch:4"', (Term("", ":", "batch:4"),)),
        ('!"a b"', (Term("", ":", "a b", negated=True),)),
        ('model:"a b"', (Term("model", ":", "a b"),)),
        ("model=X", (Term("model", "=", "x"),)),
        ("!state:failed", (Term("state", ":", "failed", negated=True),)),
        ("!!x", (Term("", ":", "x"),)),
        ("batch>=4", (Term("batch_size", ">=", 4.0),)),
        ("bs=4", (Term("batch_size", "=", 4.0),)),
        ("ttft<50", (Term("ttft", "<", 0.05),)),
        ("ttft<0.05s", (Term("ttft", "<", 0.05),)),
        ("TTFT<50MS", (Term("ttft", "<", 0.05),)),
        ("vram>20", (Term("vram", ">", 20 * 2.0**30),)),
        ("vram>512MiB", (Term("vram", ">", 512 * 2.0**20),)),
        ("tok/s>1e3", (Term("throughput", ">", 1000.0),)),
        ("drift<5%", (Term("drift", "<", 0.05),)),
        ("valid:no", (Term("valid", ":", value=False),)),
        ("flag:power-cap", (Term("flag", ":", "power-cap"),)),
        ("in:short", (Term("input_len", ":", "short"),)),
        ("in:512", (Term("input_len", ":", 512.0),)),
        ("started:2026-11", (Term("started", ":", "2026-11"),)),
        ("started>=1970-01-01T00:00:10+00:00", (Term("started", ">=", 10.0),)),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modl:x", "modl is no column; nearest: model"),
        ("zzz:x", '"zzz:x" in quotes finds that text'),
        ("model:", "model: needs a value, as in model:text"),
        ("ttft<", "ttft< needs a value, as in ttft<50ms"),
        ("e2e<", "e2e< needs a value, as in latency<50s"),
        ("itl<", "itl< needs a value, as in itl<50ms"),
        ("vram>", "vram> needs a value, as in vram<50GiB"),
        ("tps>", "tps> needs a value, as in throughput<50tok/s"),
        ("vram<5ms", "vram has no unit 'ms'; units: B, KiB, MiB, GiB"),
        ("ppl<", "ppl< needs a value, as in perplexity<50"),
        ("agrees<", "agrees< needs a value, as in agreement<5%"),
        ("model>x", "model is text: use model:x"),
        ("flag>x", "flag is text"),
        ("valid:maybe", "valid is yes or no, not 'maybe'"),
        ("batch>x", "batch is a number, not 'x'"),
        ("batch>4ms", "batch has no unit 'ms'"),
        ("ttft<5GiB", "ttft has no unit 'GiB'; units: ns, us"),
        ("started>yesterday", "2026-11-01T08:30, not 'yesterday'"),
        ('"open', "has no end"),
        ("!", "there is no text to look for"),
        ('""', "there is no text to look for"),
        ("x" * 501, "longer than 500"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


pieces = st.sampled_from([
    *(one.key for one in metrics("filter") if one.unit.kind == "figure"), "model", "state", "flag", "valid", "started",
    "input_len", "synthetic", "nothing", ":", "=", ">", "<", ">=", "<=", "!", '"', " ", "5", "1e999", "-", ".",
    "ms", "GiB", "%", "yes", "2026-01-01", "9999-12-31", "\x00",
    "\x1b[0m", "é",
])  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join) | st.text(max_size=80))
@example("started>0001-01-01")
@example("ttft<1e999")
@example("batch>" + "9" * 400)
def test_no_text_makes_it_fail_in_any_other_way(text: str) -> None:
    try:
        terms = parse(text)
    except FilterError:
        return
    sql, parameters = where(terms)
    assert sql.count("?") == len(parameters)


def test_whatever_is_on_the_line_while_a_filter_is_typed_is_understood_or_explained() -> None:
    explained = set()
    for text in prefixes([*DOCUMENTED, *written()]):
        try:
            where(parse(text))
        except FilterError as error:
            explained.add(error.message)
    assert len(explained) > 500
    assert all(message and "\n" not in message for message in explained)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_example_for_a_missing_value_is_itself_a_filter(operator: str) -> None:
    for name in KEY_NAMES:
        with pytest.raises(FilterError, match="needs a value, as in ") as caught:
            parse(f"{name}{operator}")
        assert parse(caught.value.message.rpartition(" as in ")[2])
