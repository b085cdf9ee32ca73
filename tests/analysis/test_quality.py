"""The wording of a run's quality."""

from msgspec.structs import replace
from support.results import make_results

from infertui.analysis.summary_text import DIVERGED, figures, quality_rows
from infertui.config.schema import QualityConfig
from infertui.measure.quality import Agreement, Quality

MADE = next(result for result in make_results(50) if result.state == "finished")


def told(quality: Quality, *, brief: bool = False) -> dict[str, str]:
    return dict(quality_rows(replace(MADE, quality=quality), brief=brief))


def test_a_run_without_any_says_nothing() -> None:
    assert quality_rows(replace(MADE, quality=None)) == []


def test_figures_stand_with_where_they_come_from() -> None:
    parted = Agreement(prompts=4, equal=2, share=0.625, diverged={"a": 0, "b": 5}, first_divergence=0)
    found = Quality(
        reference="ref", agreement=parted, perplexity=10.5, reference_perplexity=10.0, text="alice.txt 12",
        text_tokens=1023, window=512, scored_by="its kernels", bleu=87.25, beyond=("too far",),
        reasons={"reference_perplexity": "not asked"},
    )  # fmt: skip
    rows = told(found)
    assert rows[DIVERGED] == "too far"
    assert rows["agreement"] == (
        "62.5% of tokens are those of ref, 2 of 4 outputs the same, the first to part at token 1; "
        "3 begin with the same token"
    )
    assert rows["perplexity"] == (
        "10.5 (reference 10, +5.00%) on 1,023 tokens of alice.txt 12, in windows of 512; by its kernels"
    )
    assert rows["BLEU"] == "87.2 against the reference's outputs (sacrebleu)"
    assert rows["reference perplexity"] == "n/a: not asked"
    assert set(told(found, brief=True)) == {DIVERGED, "agreement", "BLEU", "perplexity", "reference perplexity"}
    assert figures(replace(MADE, quality=found), brief=True)


def test_the_reference_says_so_and_what_is_missing_says_why() -> None:
    rows = told(Quality(reference=MADE.id, reasons={"agreement": "is the reference", "perplexity": "random\x1b[31m"}))
    assert rows == {"agreement": "is the reference", "perplexity": "n/a: random"}


def test_what_was_asked_for_by_name_and_is_missing_is_told_in_brief() -> None:
    missing = Quality(reasons={"agreement": "no such run", "perplexity": "took too long", "bleu": "no sacrebleu"})
    assert told(missing, brief=True) == {}
    config = replace(MADE.own_config, quality=QualityConfig(reference="mine", text_file="my.txt", bleu=True))
    rows = quality_rows(replace(MADE, config=config, quality=missing), brief=True)
    assert dict(rows) == {
        "agreement": "n/a: no such run",
        "perplexity": "n/a: took too long",
        "bleu": "n/a: no sacrebleu",
    }
    quiet = replace(MADE.own_config, quality=QualityConfig(reference="none", perplexity="off", text_file="my.txt"))
    assert quality_rows(replace(MADE, config=quiet, quality=missing), brief=True) == []
