"""`infertui cost`: what runs cost in money, and what else follows from prices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import console, say, say_json

if TYPE_CHECKING:
    from infertui.analysis.cost import RunCost, Terms
    from infertui.analysis.cost_extras import Deal, Gain
    from infertui.analysis.cost_text import Remedies
    from infertui.analysis.prices import Prices

EPILOG = """[bold]Examples[/bold]

  infertui cost RUN RUN                                    (cost per million tokens; the first run is the baseline)

  infertui cost RUN RUN --gpu-hour 2.5 --currency EUR --load "2000 tok/s" --budget 10000

  infertui cost --gain 40% --budget 10000 --currency EUR   (40 % more throughput, and 40 % lower cost)

  infertui cost --purchase "8x H100" --gpu-hour 3.94       (buying a listed server against renting its GPUs)

  infertui cost RUN --purchase 250000 --gpus 8 --years 4 --electricity 0.20

  infertui cost --throughput 3000 --gpu H200 --load "20k tok/s"

  infertui cost --prices

Prices ship with their source and date, approximate list prices all of them; yours go into prices.toml in the config
directory, in the same form. Nothing is converted from one currency into another.
"""

_REMEDY = "--gpu-hour PRICE gives one, or prices.toml ([[gpu]] name, price, currency) in your config directory"
_MACHINE_REMEDY = "--gpu-hour PRICE gives it"


def cost(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Ids of runs; the first is the baseline.")
    ] = None,
    out: OutFlag = REPORTS,
    gpu_hour: Annotated[
        float | None,
        typer.Option(
            "--gpu-hour", metavar="PRICE", min=0, help="One GPU for an hour; for a run on a CPU, the machine."
        ),
    ] = None,
    currency: Annotated[
        str,
        typer.Option("--currency", metavar="CODE", help="Of the prices given here: EUR; else the listed one's, USD."),
    ] = "",
    load: Annotated[
        str, typer.Option("--load", metavar="LOAD", help='A fleet for "2000 tok/s" or "5 req/s", as at its peak.')
    ] = "",
    headroom: Annotated[
        str, typer.Option("--headroom", metavar="PERCENT", help="Of every GPU, kept free under that load.")
    ] = "20%",
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="MONEY", min=0, help="A month's, for what is saved of it.")
    ] = None,
    gain: Annotated[
        str, typer.Option("--gain", metavar="PERCENT", help="What so much more throughput, or lower cost, saves.")
    ] = "",
    electricity: Annotated[
        float | None, typer.Option("--electricity", metavar="PRICE", min=0, help="A kilowatt-hour.")
    ] = None,
    pue: Annotated[
        float, typer.Option("--pue", min=1, max=10, help="What the building takes for each watt of the machines.")
    ] = 1.56,
    purchase: Annotated[
        str, typer.Option("--purchase", metavar="PRICE", help="Buy a server: its price, or a listed one by name.")
    ] = "",
    gpus: Annotated[int, typer.Option("--gpus", min=1, max=1000, help="GPUs of the server whose price is given.")] = 8,
    watts: Annotated[float | None, typer.Option("--watts", min=0, help="Mean draw of that server.")] = None,
    years: Annotated[float, typer.Option("--years", min=0.1, max=50, help="Until it is written off.")] = 3.0,
    upkeep: Annotated[
        str, typer.Option("--upkeep", metavar="PERCENT", help="Of its price a year: space, staff, repairs.")
    ] = "0%",
    throughput: Annotated[
        float | None,
        typer.Option("--throughput", metavar="TOK/S", min=0, help="Without a run: tokens a second of one GPU."),
    ] = None,
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="NAME", help="Without a run: the GPU whose listed price counts.")
    ] = "",
    prices: Annotated[bool, typer.Option("--prices", help="List the prices, with source and date.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of runs for a README.")] = False,
) -> None:
    """Money: cost per million tokens, a fleet for a load, what a gain saves, buying against renting."""
    from infertui.analysis.cost import CURRENCY, Terms, parse_load, parse_percent, speed_cost
    from infertui.analysis.cost_extras import deal_rows, gain_of, gain_rows
    from infertui.analysis.cost_text import Remedies, cost_rows
    from infertui.analysis.prices import MAX_PRICE, is_currency, load_prices
    from infertui.errors import UsageError
    from infertui.text import clean

    if currency and not is_currency(currency):
        raise UsageError(f"--currency {clean(currency)!r} is no currency; allowed: three capitals, as in EUR")
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other")
    if as_markdown and not runs:
        raise UsageError("--markdown is a table of runs", remedy="`infertui results` lists them.")
    for option, value in (("--gpu-hour", gpu_hour), ("--budget", budget), ("--electricity", electricity),
                          ("--watts", watts), ("--throughput", throughput)):  # fmt: skip
        if value is not None and value > MAX_PRICE:
            raise UsageError(f"{option} {value:g} is more than anything can be; allowed: up to {MAX_PRICE:.0e}")
    if throughput == 0:
        raise UsageError("--throughput 0 has no cost per token; allowed: above 0")
    known = load_prices()
    if prices:
        _print_prices(known, as_json=as_json)
        return
    if runs and (gpu or throughput is not None):
        raise UsageError("--gpu and --throughput are for when there is no run")
    terms = Terms(
        gpu_hour,
        currency,
        electricity,
        pue,
        parse_load(load) if load else None,
        parse_percent(headroom, "--headroom", low=0, high=1),
        budget,
    )
    device = _listed_gpu(gpu, known) if gpu else ""
    costs = _costs(runs, out, known, terms) if runs else []
    if throughput is not None:
        costs = [speed_cost(throughput, device, known, terms)]
    if load and not costs:
        raise UsageError("--load needs a run, or --throughput", remedy="`infertui results` lists runs.")
    bought = _deal(purchase, device, costs, known, terms, (gpus, watts, years), upkeep) if purchase else None
    share = parse_percent(gain, "--gain", low=0, high=10) if gain else None
    if share is not None and budget is None:
        raise UsageError("--gain needs a --budget", remedy="infertui cost --gain 40% --budget 10000")
    if not costs and bought is None and share is None:
        raise UsageError(
            "there is nothing to work out: name a run, or give --throughput, --gain or --purchase",
            remedy="`infertui cost --help` has examples; `infertui results` lists runs.",
        )
    saved = gain_of(share, budget, currency or CURRENCY) if share is not None and budget is not None else None
    if as_json:
        _print_json(costs, saved, bought)
        return
    remedies = Remedies(_REMEDY, _MACHINE_REMEDY)
    if as_markdown:
        _print_markdown(costs, remedies)
        return
    if len(costs) > 1:
        _print_table(costs, remedies)
    else:
        for one in costs:
            _print_rows(cost_rows(one, terms, remedies))
    if len(costs) > 1 and (terms.load is not None or terms.budget is not None):
        for one in costs:
            rows = cost_rows(one, terms, remedies)
            if shown := [row for row in rows if row[0] in ("fleet", "saving")]:
                say(f"\n{one.id}")
                _print_rows(shown)
    sections = [gain_rows(saved) if saved else [], deal_rows(bought, pue) if bought else []]
    for at, rows in enumerate(sections):
        if rows:
            if costs or any(sections[:at]):
                say("")
            _print_rows(rows)


def _costs(runs: Sequence[str], out: Path, prices: "Prices", terms: "Terms") -> list["RunCost"]:
    from infertui.analysis.cost import beside, run_cost
    from infertui.cli.lookup import opened, runs_named

    costs = [run_cost(result, prices, terms) for result in runs_named(opened(out), list(runs))]
    return [costs[0], *(beside(other, costs[0], terms) for other in costs[1:])]


def _listed_gpu(name: str, prices: "Prices") -> str:
    """The GPU of the list that is meant: by its whole name, or a part that no other has."""
    from infertui.errors import UsageError
    from infertui.text import clean

    if (whole := prices.of_gpu(name)) is not None:
        return whole.name
    found = [one.name for one in prices.gpus if name.casefold() in one.name.casefold()]
    if len(found) == 1:
        return found[0]
    problem = f"--gpu {clean(name)!r} is {'any of ' + ', '.join(found) if found else 'not in the list of prices'}"
    raise UsageError(problem, remedy="`infertui cost --prices` lists them; yours go into prices.toml.")


def _deal(
    what: str,
    device: str,
    costs: Sequence["RunCost"],
    prices: "Prices",
    terms: "Terms",
    given: tuple[int, float | None, float],
    upkeep: str,
) -> "Deal":
    """Buying against renting; the last run tells GPU, measured power and, with a load, how many are needed."""
    from infertui.analysis.cost import CURRENCY, Price, gpu_price, kwh_price, parse_percent
    from infertui.analysis.cost_extras import Offer, deal, offer_of
    from infertui.errors import UsageError
    from infertui.text import clean

    gpus, watts, years = given
    last = costs[-1] if costs else None
    gpu_w = last.mean_power_w / last.gpus if last and last.on_gpu and last.mean_power_w is not None else None
    try:
        amount: float | None = float(what.replace(",", "").replace("_", ""))
    except ValueError:
        amount = None
    if amount is not None:
        if not 0 < amount < 1e12:
            raise UsageError(f"--purchase {clean(what)!r} is no price")
        told = "as given" if watts is not None else "its GPUs alone, as measured" if gpu_w is not None else ""
        draw = watts if watts is not None else gpu_w * gpus if gpu_w is not None else None
        offer = Offer("the server", Price(amount, terms.currency or CURRENCY, "as given"), gpus, draw, told)
    else:
        found = [one for one in prices.servers if what.casefold() in one.name.casefold()]
        if len(found) != 1:
            raise UsageError(
                f"--purchase {clean(what)!r} is neither a price nor a server of the list",
                remedy=f"Listed: {', '.join(one.name for one in prices.servers)}. `infertui cost --prices` shows them.",
            )
        device = device or (last.device if last and last.on_gpu else found[0].gpu)
        offer = offer_of(found[0], gpu_w if device.casefold() == found[0].gpu.casefold() else None)
        if watts is not None:
            offer = Offer(offer.name, offer.price, offer.gpus, watts, "as given", offer.gpu)
    hour: Price | None = (
        Price(terms.gpu_hour, terms.currency or CURRENCY, "as given") if terms.gpu_hour is not None else None
    )
    hour = hour or (last.price if last else gpu_price(device, prices, terms.currency))
    if hour is None:
        raise UsageError("buying is compared with renting, and there is no price of a GPU-hour", remedy=f"{_REMEDY}.")
    needed = last.fleet.gpus if last and last.fleet else None
    share = parse_percent(upkeep, "--upkeep", low=0, high=1)
    kwh = kwh_price(prices, terms, hour.currency)
    return deal(offer, hour, kwh, pue=terms.pue, years=years, upkeep=share, gpus=needed, gpu=device)


def _print_rows(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name:<{width}}  {value}")


def _print_table(costs: Sequence["RunCost"], remedies: "Remedies") -> None:
    from rich.table import Table
    from rich.text import Text

    from infertui.analysis.cost_text import HEADINGS, notes, table
    from infertui.metrics.metric import NOT_AVAILABLE

    rows = table(costs)
    # A column in which nothing is known for any run says nothing: the notes say why.
    shown = [at for at in range(len(HEADINGS)) if at < 2 or any(row[at] not in (NOT_AVAILABLE, "-") for row in rows)]
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 400
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for at in shown:
        drawn.add_column(HEADINGS[at], justify="left" if at < 2 else "right", overflow="fold")
    for row, one in zip(rows, costs, strict=True):
        drawn.add_row(*(Text(row[at], style="" if one.valid else "red") for at in shown))
    terminal.print(drawn)
    for note in notes(costs, remedies):
        say(note)


def _print_markdown(costs: Sequence["RunCost"], remedies: "Remedies") -> None:
    from infertui.analysis.cost_text import HEADINGS, notes, table
    from infertui.report.escaping import markdown, markdown_line

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(markdown(cell) for cell in cells)} |"

    say(line(HEADINGS))
    say(f"|{' --- |' * len(HEADINGS)}")
    for row in table(costs):
        say(line(row))
    for note in notes(costs, remedies):
        say(f"\n{markdown_line(note)}")


def _print_json(costs: Sequence["RunCost"], saved: "Gain | None", bought: "Deal | None") -> None:

    document = {"runs": list(costs), "gain": saved, "purchase": bought}
    say_json(document)


def _print_prices(prices: "Prices", *, as_json: bool) -> None:

    from infertui.analysis.cost import PUE, PUE_SOURCE, price_lists
    from infertui.analysis.prices import user_file
    from infertui.cli.table import print_table
    from infertui.text import clean

    if as_json:
        say_json(prices)
        return
    for title, rows in price_lists(prices).items():
        say(f"{title}:")
        print_table(("name", "price", "source", "date"), rows)
        say("")
    say(f"PUE {PUE}: {PUE_SOURCE}")
    say(f"yours: {clean(str(user_file()))}")
