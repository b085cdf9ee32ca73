"""The marks of a verdict, and of errors, in words: the same few in tables, toasts and charts. Pure.

What a mark tells at length, with its figures, is the verdict's own text beside it.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct

from infertui.measure.validity import Verdict

_ELSE = (
    "something else used this machine meanwhile: close it, or wait, and run again;"
    " measurement.min_seconds=60 averages over more of it"
)


class MarkWords(Struct, frozen=True):
    """What a mark is called where there is room for two or three words, and what is done about it, of a load too."""

    short: str
    remedy: str = ""
    of_loads: str = ""


MARKS: dict[str, MarkWords] = {
    "foreign": MarkWords(
        "GPU shared", "another process uses the GPU, and `infertui gpus` names it: end it and run again"
    ),
    "gpu-lost": MarkWords("GPU lost", "the GPU's driver stopped answering: see `infertui doctor`, then run again"),
    "thermal": MarkWords("GPU hot", "the GPU is too hot for its clocks: let it cool or see to its fans, and run again"),
    "throttle": MarkWords(
        "GPU throttled", "something held the GPU's clocks down: see its power supply and `infertui gpus`, and run again"
    ),
    "clocks": MarkWords(
        "clocks fell", "the GPU's clock fell meanwhile: let it settle, and run again; --warmup 10 helps"
    ),
    "swap": MarkWords(
        "swapping", "the machine has too little memory for all that it does: close something and run again"
    ),
    "host-busy": MarkWords("host busy", _ELSE),
    "failures": MarkWords(
        "requests failed",
        of_loads="the server failed requests: its log says why, and `failures` above which kind they were",
    ),
    "short-output": MarkWords("short output"),
    "long-output": MarkWords("long output"),
    "lengths": MarkWords(
        "other lengths",
        of_loads="answers had other lengths than were asked for: see whether the server takes ignore_eos,"
        " or --osl less",
    ),
    "cached": MarkWords(
        "prompts cached",
        of_loads="the server had parts of the prompts cached: restart it, or switch its prefix cache off",
    ),
    "noisy": MarkWords("noisy", _ELSE),
    "drift": MarkWords("drift", _ELSE),
    "warming": MarkWords("warming up"),
    "client": MarkWords(
        "client slow",
        "infertui itself was too large a part of it: longer outputs or larger batches",
        "the client was too slow, or too much else ran here: fewer requests, or another machine for the client",
    ),
    "load": MarkWords(
        "load not reached",
        of_loads="the load was not reached: more requests (--num-prompts) or longer (--max-seconds)",
    ),
    "arrivals": MarkWords(
        "arrivals off",
        of_loads="requests were not sent as planned: a lower rate, or another machine for the client",
    ),
    "unsteady": MarkWords(
        "unsteady",
        _ELSE,
        "the load never settled: --max-seconds more, or less load where the server cannot keep up",
    ),
    "few": MarkWords(
        "few samples",
        "too little was measured: give --iterations 5 or more",
        "too little was measured: --max-seconds 30 or more, or more --num-prompts",
    ),
    "out-of-memory": MarkWords("OOM"),
}
"""Those that need more than their own word; the most telling first."""
_RANKS = {mark: rank for rank, mark in enumerate(MARKS)}


def short_words(mark: str) -> str:
    """A mark in at most some sixteen characters: `host busy`. Of one that is not known, its own word."""
    known = MARKS.get(mark)
    return known.short if known else mark.replace("-", " ")


def most_telling(marks: Sequence[str]) -> tuple[str, ...]:
    """The marks, each once, those first that explain the others; one that is not known comes last."""
    found = (mark for mark in dict.fromkeys(marks) if mark)
    return tuple(sorted(found, key=lambda mark: _RANKS.get(mark, len(_RANKS))))


def telling(verdict: Verdict) -> tuple[str, ...]:
    """The marks of what is against a run, the most telling first."""
    return most_telling(verdict.against or verdict.marks[: len(verdict.invalid)])


def why(verdict: Verdict) -> str:
    """What is against a run in words, the most telling first; empty where nothing is."""
    if len(verdict.against) != len(verdict.invalid):
        return "; ".join(verdict.invalid)
    ranks = {mark: rank for rank, mark in enumerate(telling(verdict))}
    pairs = zip(verdict.invalid, verdict.against, strict=True)
    return "; ".join(text for text, _ in sorted(pairs, key=lambda pair: ranks.get(pair[1], len(ranks))))


def in_short(marks: Collection[str]) -> str:
    """`host busy, few samples`."""
    return ", ".join(map(short_words, marks))


def remedy_of(marks: Sequence[str], *, load: bool) -> str:
    """What to do about the most telling of marks that are against a run; empty where there is nothing to advise."""
    known = (MARKS[mark] for mark in most_telling(marks) if mark in MARKS)
    return next((text for one in known if (text := one.of_loads if load else one.remedy)), "")
