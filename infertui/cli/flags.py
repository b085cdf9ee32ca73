"""Flags that mean the same in several commands, and what is refused alike. Where help differs, the command has it."""

import os
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

Ui = Literal["auto", "live", "plain", "none"]

ModelFlag = Annotated[
    str | None, typer.Option("--model", "-m", metavar="ID", help="Hugging Face id, directory or synthetic:NAME.")
]
DeviceFlag = Annotated[str | None, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
InputLenFlag = Annotated[str | None, typer.Option("--input-len", "--isl", metavar="N", help="Prompt tokens, exactly.")]
BatchSizeFlag = Annotated[str | None, typer.Option("--batch-size", "-b", metavar="N", help="Sequences in a batch.")]
OutputLenFlag = Annotated[
    str | None, typer.Option("--output-len", "--osl", metavar="N", help="Tokens to generate, exactly.")
]
NewTokensFlag = Annotated[
    str | None,
    typer.Option("--output-len", "--osl", "--max-new-tokens", metavar="N", help="Tokens to generate, exactly."),
]
IterationsFlag = Annotated[
    str | None, typer.Option("--iterations", "-n", metavar="N", help="Batches to measure in each run.")
]
ServedModelFlag = Annotated[
    str | None, typer.Option("--model", "-m", metavar="NAME", help="As the server lists it; else the first.")
]
ApiFlag = Annotated[
    str | None, typer.Option("--api", metavar="NAME", help="Dialect: auto, openai-chat, ollama-chat, tgi, ...")
]
PromptLenFlag = Annotated[
    str | None, typer.Option("--isl", "--input-len", metavar="N", help="Prompt tokens, about: 512.")
]
AnswerLenFlag = Annotated[
    str | None, typer.Option("--osl", "--output-len", metavar="N", help="Tokens to generate: 128.")
]
ApiKeyEnvFlag = Annotated[
    str | None, typer.Option("--api-key-env", metavar="NAME", help="Variable with the API key: OPENAI_API_KEY.")
]
LoadSeedFlag = Annotated[str | None, typer.Option("--seed", metavar="N", help="Of arrivals, lengths and prompts.")]
LabelFlag = Annotated[
    list[str] | None, typer.Option("--label", metavar="K=V", help="A note kept with the results; repeatable.")
]
SetFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the config; repeatable.")
]
SetInAllFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key, in all of them; repeatable.")
]
OutFlag = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs are kept.")]
UiFlag = Annotated[
    Ui, typer.Option("--ui", help="What to show meanwhile; auto: a live view in a terminal, else plain lines.")
]
PullFlag = Annotated[bool, typer.Option("--pull", help="Download a Hugging Face model first that is not here.")]
ReportFlag = Annotated[
    bool, typer.Option("--report", help="Write a report afterwards, to a folder beside the runs, which is told.")
]
FilterFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only these runs: FILTER as in `infertui results`; repeatable.",
    ),
]
EqualWithinFlag = Annotated[
    str,
    typer.Option(
        "--equal-within",
        metavar="PERCENT",
        help="Figures are equal where the whole interval lies within this change; without, as the settings say (2 %).",
    ),
]

_RANGE = re.compile(r",|^-?[\d.]+--?[\d.]+[+*]")

REPORTS = Path("reports")
"""What --out is unless it is given."""


def band_of(text: str) -> float:
    """What was given as --equal-within, as a share; of nothing what the settings say. Raises UsageError."""
    from infertui.analysis.cost.total import parse_percent

    if not text:
        from infertui.tui.settings import stored
        from infertui.tui.terminal import early

        return stored.read(early.settings_path()).settings.equal_within
    return parse_percent(text, "--equal-within", low=0, high=1)


def pairs(flag: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """What was given as KEY=VALUE, as often as it was. Raises UsageError."""
    from infertui.errors import UsageError

    found = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text!r} is not of the form KEY=VALUE")
        found.append((key.strip(), value))
    return found


def swept(key: str, value: object, keys: Container[str]) -> str:
    """The key that a flag sets: of one of `keys`, a list or range given to it is an axis of the sweep."""
    return f"sweep.grid.{key}" if key in keys and isinstance(value, str) and _RANGE.search(value) else key


def refuse_with_queue(given: Mapping[str, bool]) -> None:
    """Some flags are about a run that this process watches: raises UsageError for the first that was given."""
    from infertui.errors import UsageError

    for flag in (flag for flag, is_given in given.items() if is_given):
        raise UsageError(f"{flag} and --queue exclude each other: queued runs are measured in the background")


def measured_here() -> None:
    """Raise UsageError where a runner elsewhere is asked, and something would be measured here."""
    if os.environ.get("INFERTUI_CONNECT"):
        from infertui.errors import UsageError

        raise UsageError(
            "a runner at another place is connected, and what it measures waits in its queue",
            remedy="Add --queue; without --connect and INFERTUI_CONNECT it is measured here.",
        )
