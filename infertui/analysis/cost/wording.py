"""The cost of runs in words and tables: the same on the command line and on the screen. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.analysis.cost.total import CURRENCY, NO_SPEED, UNTOLD, RunCost, Terms, money, rate, thousands
from infertui.measure.cost import Saving, TokenCost
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.text import clean
from infertui.units import format_number

HEADINGS = (
    "run", "device", "price/h", "tok/s", "per M output", "against the first", "per M input", "per M output alone",
    "per M blended", "J/tok", "electricity per M",
)  # fmt: skip


class Remedies(Struct, frozen=True):
    """How the user gives the price of a GPU-hour, or of a machine's hour, where it is missing."""

    gpu: str
    machine: str


def cost_rows(cost: RunCost, terms: Terms, remedies: Remedies) -> list[tuple[str, str]]:
    """Names and values, in reading order."""
    currency = cost.price.currency if cost.price else terms.currency or CURRENCY
    rows = [("price", _price_words(cost, remedies))]
    if cost.tokens is not None:
        rows += _token_rows(cost, cost.tokens, currency)
    rows.append(("energy", _energy_words(cost)))
    if cost.electricity is not None and cost.kwh_price is not None:
        of = "the GPU alone" if cost.on_gpu else "the CPU packages alone"
        rows.append(
            (
                "electricity",
                f"{money(cost.electricity, cost.kwh_price.currency)} per million output tokens: {of},"
                f" at {rate(cost.kwh_price)}/kWh ({cost.kwh_price.source}),"
                f" PUE {terms.pue:.2f}",
            )
        )
    if terms.load is not None:
        rows.append(("fleet", _fleet_words(cost, terms, currency)))
    if cost.ratio is not None and terms.budget is not None:
        why = "what was generated is not told" if UNTOLD in cost.unlike else "the baseline did other work"
        other = f"{NOT_AVAILABLE}: {why}"
        rows.append(("saving", saving_words(cost.saving, terms.budget, currency) if cost.saving else other))
    return rows


def missing_words(cost: RunCost, remedies: Remedies) -> str:
    """Why there is no cost, and what to do about it where something can be done."""
    if cost.price is not None or cost.missing == NO_SPEED:
        return cost.missing
    return f"{cost.missing}; {remedies.gpu if cost.on_gpu else remedies.machine}"


def _price_words(cost: RunCost, remedies: Remedies) -> str:
    if cost.price is None:
        return f"{NOT_AVAILABLE}: {missing_words(cost, remedies)}"
    unit = "GPU-hour" if cost.on_gpu else "machine-hour"
    shown = f"{rate(cost.price)} per {unit} ({cost.price.source})"
    if cost.gpus > 1:
        shown += f", {cost.gpus} GPUs: {money(cost.price.value * cost.gpus, cost.price.currency)} an hour"
    if not cost.gpus_told:
        shown += ", one GPU taken: how many there were is not told"
    return shown


def _token_rows(cost: RunCost, tokens: TokenCost, currency: str) -> list[tuple[str, str]]:
    ratio = f", {cost.ratio:.2f}x the baseline's" if cost.ratio is not None else ""
    if cost.unlike:
        ratio += f", which did OTHER work: {cost.unlike}"
    rows = [("output tokens", f"{money(tokens.output, currency)} per million, all of the time charged to them{ratio}")]
    if tokens.prefill is not None and tokens.decode is not None and cost.prefill_share is not None:
        rows.append(
            (
                "in and out",
                f"{money(tokens.prefill, currency)} per million input tokens and {money(tokens.decode, currency)} per"
                f" million output tokens: {cost.prefill_share:.1%} of the time passed until first tokens",
            )
        )
    if tokens.blended is not None:
        why = f"; they cannot be told apart: {cost.no_split}" if cost.no_split else ""
        rows.append(("blended", f"{money(tokens.blended, currency)} per million tokens, input and output alike{why}"))
    return rows


def _energy_words(cost: RunCost) -> str:
    if cost.joules_per_token is None:
        return NOT_AVAILABLE + (f": {cost.energy_source}" if cost.energy_source else "")
    above = cost.joules_per_token_above_idle
    more = f" ({format_number(above)} above idle)" if above is not None else ""
    source = f": {cost.energy_source}" if cost.energy_source else ""
    return f"{format_number(cost.joules_per_token)} J/tok{more}{source}"


def _fleet_words(cost: RunCost, terms: Terms, currency: str) -> str:
    found = cost.fleet
    if found is None:
        return f"{NOT_AVAILABLE}: {cost.no_fleet}"
    unit = ("GPU" if cost.on_gpu else "machine") + ("s" if found.gpus > 1 else "")
    used = f"{found.utilisation:.0%} of what they can do"
    shown = f"{found.gpus:,} {unit} for {terms.load}, {terms.headroom:.0%} kept free; {used}"
    if found.per_hour is None or found.per_year is None:
        return shown
    return f"{shown}: {money(found.per_hour, currency)} an hour, {thousands(found.per_year, currency)} a year"


def saving_words(found: Saving, budget: float, currency: str) -> str:
    """What is saved of a monthly budget against the baseline."""
    word = "less" if found.share >= 0 else "more"
    return (
        f"the baseline's work for {abs(found.share):.1%} {word}: {thousands(abs(found.monthly), currency)} of"
        f" {thousands(budget, currency)} a month, {thousands(abs(found.yearly), currency)} a year"
    )


def table(costs: Sequence[RunCost]) -> list[tuple[str, ...]]:
    """A row a run, with the columns of HEADINGS."""
    return [_row(cost) for cost in costs]


def _row(cost: RunCost) -> tuple[str, ...]:
    tokens, currency = cost.tokens, cost.price.currency if cost.price else ""

    def shown(value: float | None, unit: str = currency) -> str:
        return NOT_AVAILABLE if value is None else money(value, unit).strip()

    device = f"{cost.gpus}x {cost.device}" if cost.gpus > 1 else cost.device
    return (
        clean(cost.id) + ("" if cost.valid else " (invalid)"),
        device or NOT_AVAILABLE,
        shown(cost.price.value * cost.gpus if cost.price else None),
        shown(cost.output_throughput, ""),
        shown(tokens.output if tokens else None),
        f"{cost.ratio:.2f}x" if cost.ratio is not None else "-",
        shown(tokens.prefill if tokens else None),
        shown(tokens.decode if tokens else None),
        shown(tokens.blended if tokens else None),
        shown(cost.joules_per_token, ""),
        shown(cost.electricity, cost.kwh_price.currency if cost.kwh_price else ""),
    )


def notes(costs: Sequence[RunCost], remedies: Remedies) -> list[str]:
    """What a reader of the table has to know: prices with their sources, and what is missing."""
    said: dict[str, None] = {}
    for cost in costs:
        if cost.price is not None:
            unit = f"an hour of {cost.device}" if cost.on_gpu else "a machine-hour"
            said[f"{rate(cost.price)} {unit}: {cost.price.source}"] = None
            if not cost.gpus_told:
                said[f"{clean(cost.id)}: one GPU taken, how many there were is not told"] = None
        if cost.missing:
            said[f"{clean(cost.id)}: {missing_words(cost, remedies)}"] = None
        if cost.unlike:
            said[f"{clean(cost.id)}: NOT the first run's work ({cost.work}, not {cost.unlike}): other tokens"] = None
        if cost.electricity is not None and cost.kwh_price:
            said[f"electricity at {rate(cost.kwh_price)}/kWh: {cost.kwh_price.source}"] = None
    return list(said)
