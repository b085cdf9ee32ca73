"""`infertui cost`: what runs cost in money, and what else follows from prices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from infertui.cli.flags import REPORTS, OutFlag

if TYPE_CHECKING:
    from infertui.analysis.cost.extras import Deal, Gain, Offer
    from infertui.analysis.cost.prices import Prices
    from infertui.analysis.cost.total import Price, RunCost, Terms

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


class CostFlags(Struct, frozen=True, kw_only=True):
    """What was given on the command line. None or empty: not given."""

    runs: tuple[str, ...]
    out: Path
    gpu_hour: float | None
    currency: str
    load: str
    headroom: str
    budget: float | None
    gain: str
    electricity: float | None
    pue: float
    purchase: str
    gpus: int
    watts: float | None
    years: float
    upkeep: str
    throughput: float | None
    gpu: str
    as_json: bool
    as_markdown: bool


def cost(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Ids of runs; the first is the baseline.")
    ] = None,
    out: OutFlag = REPORTS,
    gpu_hour: Annotated[
        float | None,
        typer.Option(
            "--gpu-hour",
            metavar="PRICE",
            min=0,
            help="Price of one GPU for an hour; for a run on a CPU, of the machine.",
        ),
    ] = None,
    currency: Annotated[
        str,
        typer.Option(
            "--currency",
            metavar="CODE",
            help="Currency of the prices given here, as EUR; without it, that of the listed price, else USD.",
        ),
    ] = "",
    load: Annotated[
        str, typer.Option("--load", metavar="LOAD", help='Size a fleet for this peak load: "2000 tok/s" or "5 req/s".')
    ] = "",
    headroom: Annotated[
        str,
        typer.Option("--headroom", metavar="PERCENT", help="Spare throughput of each GPU at that load."),
    ] = "20%",
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="MONEY", min=0, help="Monthly spend; shows how much of it is saved."),
    ] = None,
    gain: Annotated[
        str,
        typer.Option(
            "--gain",
            metavar="PERCENT",
            help="Saving of --budget if throughput rises, or cost falls, by this much.",
        ),
    ] = "",
    electricity: Annotated[
        float | None, typer.Option("--electricity", metavar="PRICE", min=0, help="Price of a kilowatt-hour.")
    ] = None,
    pue: Annotated[
        float,
        typer.Option("--pue", min=1, max=10, help="Power usage effectiveness: watts of the facility per watt of IT."),
    ] = 1.56,
    purchase: Annotated[
        str,
        typer.Option(
            "--purchase", metavar="PRICE", help="Compare with buying a server: its price, or a listed one by name."
        ),
    ] = "",
    gpus: Annotated[
        int, typer.Option("--gpus", min=1, max=1000, help="GPUs in that server, where its price is given.")
    ] = 8,
    watts: Annotated[float | None, typer.Option("--watts", min=0, help="Mean power of that server.")] = None,
    years: Annotated[float, typer.Option("--years", min=0.1, max=50, help="Years of depreciation.")] = 3.0,
    upkeep: Annotated[
        str,
        typer.Option(
            "--upkeep", metavar="PERCENT", help="Operating cost a year, of the purchase price: space, staff, repairs."
        ),
    ] = "0%",
    throughput: Annotated[
        float | None,
        typer.Option("--throughput", metavar="TOK/S", min=0, help="Without a run: tokens per second of one GPU."),
    ] = None,
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="NAME", help="Without a run: the GPU whose listed price counts.")
    ] = "",
    prices: Annotated[bool, typer.Option("--prices", help="List the prices, with source and date.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of runs for a README.")] = False,
) -> None:
    """Money: cost per million tokens, a fleet for a load, what a gain saves, buying against renting."""
    from infertui.analysis.cost.prices import load_prices
    from infertui.analysis.cost.wording import Remedies
    from infertui.cli.reading import costview
    from infertui.errors import UsageError

    asked = CostFlags(
        runs=tuple(runs or ()),
        out=out,
        gpu_hour=gpu_hour,
        currency=currency,
        load=load,
        headroom=headroom,
        budget=budget,
        gain=gain,
        electricity=electricity,
        pue=pue,
        purchase=purchase,
        gpus=gpus,
        watts=watts,
        years=years,
        upkeep=upkeep,
        throughput=throughput,
        gpu=gpu,
        as_json=as_json,
        as_markdown=as_markdown,
    )
    _check_values(asked)
    known = load_prices()
    if prices:
        costview.print_prices(known, as_json=as_json)
        return
    if asked.runs and (gpu or throughput is not None):
        raise UsageError("--gpu and --throughput are for when there is no run")
    terms = _terms(asked)
    device = _listed_gpu(gpu, known) if gpu else ""
    costs = _costs(asked, device, known, terms)
    bought = _deal(asked, device, costs[-1] if costs else None, known, terms) if purchase else None
    saved = _gain(asked)
    if not costs and bought is None and saved is None:
        raise UsageError(
            "there is nothing to work out: name a run, or give --throughput, --gain or --purchase",
            remedy="`infertui cost --help` has examples; `infertui results` lists runs.",
        )
    remedies = Remedies(_REMEDY, _MACHINE_REMEDY)
    if as_json:
        costview.print_json(costs, saved, bought)
    elif as_markdown:
        costview.print_markdown(costs, remedies)
    else:
        costview.print_text(costs, saved, bought, terms, remedies)


def _check_values(asked: CostFlags) -> None:
    """Raises UsageError for a value that is out of range, and for flags that exclude each other."""
    from infertui.analysis.cost.prices import MAX_PRICE, is_currency
    from infertui.errors import UsageError
    from infertui.text import clean

    if asked.currency and not is_currency(asked.currency):
        raise UsageError(f"--currency {clean(asked.currency)!r} is no currency; allowed: three capitals, as in EUR")
    if asked.as_json and asked.as_markdown:
        raise UsageError("--json and --markdown exclude each other")
    if asked.as_markdown and not asked.runs:
        raise UsageError("--markdown is a table of runs", remedy="`infertui results` lists them.")
    for option, value in (("--gpu-hour", asked.gpu_hour), ("--budget", asked.budget),
                          ("--electricity", asked.electricity), ("--watts", asked.watts),
                          ("--throughput", asked.throughput)):  # fmt: skip
        if value is not None and value > MAX_PRICE:
            raise UsageError(f"{option} {value:g} is more than anything can be; allowed: up to {MAX_PRICE:.0e}")
    if asked.throughput == 0:
        raise UsageError("--throughput 0 has no cost per token; allowed: above 0")


def _terms(asked: CostFlags) -> "Terms":
    """The prices and the demand that were given. Raises UsageError."""
    from infertui.analysis.cost.total import Terms, parse_load, parse_percent

    return Terms(
        gpu_hour=asked.gpu_hour,
        currency=asked.currency,
        electricity=asked.electricity,
        pue=asked.pue,
        load=parse_load(asked.load) if asked.load else None,
        headroom=parse_percent(asked.headroom, "--headroom", low=0, high=1),
        budget=asked.budget,
    )


def _costs(asked: CostFlags, device: str, prices: "Prices", terms: "Terms") -> list["RunCost"]:
    """Cost of each run, or of the throughput given by hand; none where neither was given. Raises UsageError."""
    from infertui.analysis.cost.total import speed_cost
    from infertui.errors import UsageError

    if asked.runs:
        return _costs_of_runs(asked.runs, asked.out, prices, terms)
    if asked.throughput is not None:
        return [speed_cost(asked.throughput, device, prices, terms)]
    if asked.load:
        raise UsageError("--load needs a run, or --throughput", remedy="`infertui results` lists runs.")
    return []


def _costs_of_runs(runs: Sequence[str], out: Path, prices: "Prices", terms: "Terms") -> list["RunCost"]:
    from infertui.analysis.cost.total import beside, run_cost
    from infertui.cli.reading.lookup import opened, runs_named

    costs = [run_cost(result, prices, terms) for result in runs_named(opened(out), list(runs))]
    return [costs[0], *(beside(other, costs[0], terms) for other in costs[1:])]


def _gain(asked: CostFlags) -> "Gain | None":
    """What --gain saves of --budget. Raises UsageError."""
    from infertui.analysis.cost.extras import gain_of
    from infertui.analysis.cost.total import CURRENCY, parse_percent
    from infertui.errors import UsageError

    if not asked.gain:
        return None
    share = parse_percent(asked.gain, "--gain", low=0, high=10)
    if asked.budget is None:
        raise UsageError("--gain needs a --budget", remedy="infertui cost --gain 40% --budget 10000")
    return gain_of(share, asked.budget, asked.currency or CURRENCY)


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


def _deal(asked: CostFlags, device: str, last: "RunCost | None", prices: "Prices", terms: "Terms") -> "Deal":
    """Buying against renting; the last run tells GPU, measured power and, with a load, how many are needed."""
    from infertui.analysis.cost.extras import deal
    from infertui.analysis.cost.total import kwh_price, parse_percent

    gpu_w = last.mean_power_w / last.gpus if last and last.on_gpu and last.mean_power_w is not None else None
    try:
        amount = float(asked.purchase.replace(",", "").replace("_", ""))
    except ValueError:
        offer, device = _listed_offer(asked, device, last, gpu_w, prices)
    else:
        offer = _priced_offer(asked, amount, gpu_w)
    hour = _rent(terms, device, last, prices)
    needed = last.fleet.gpus if last and last.fleet else None
    upkeep = parse_percent(asked.upkeep, "--upkeep", low=0, high=1)
    kwh = kwh_price(prices, terms, hour.currency)
    return deal(offer, hour, kwh, pue=terms.pue, years=asked.years, upkeep=upkeep, gpus=needed, gpu=device)


def _priced_offer(asked: CostFlags, amount: float, gpu_w: float | None) -> "Offer":
    """A server by its price; `gpu_w` is the measured watts of one GPU. Raises UsageError."""
    from infertui.analysis.cost.extras import Offer
    from infertui.analysis.cost.total import CURRENCY, Price
    from infertui.errors import UsageError
    from infertui.text import clean

    if not 0 < amount < 1e12:
        raise UsageError(f"--purchase {clean(asked.purchase)!r} is no price")
    told = "as given" if asked.watts is not None else "its GPUs alone, as measured" if gpu_w is not None else ""
    draw = asked.watts if asked.watts is not None else gpu_w * asked.gpus if gpu_w is not None else None
    return Offer("the server", Price(amount, asked.currency or CURRENCY, "as given"), asked.gpus, draw, told)


def _listed_offer(
    asked: CostFlags, device: str, last: "RunCost | None", gpu_w: float | None, prices: "Prices"
) -> tuple["Offer", str]:
    """A server of the list, and the GPU whose rent it is compared with. Raises UsageError."""
    from infertui.analysis.cost.extras import Offer, offer_of
    from infertui.errors import UsageError
    from infertui.text import clean

    what = asked.purchase
    found = [one for one in prices.servers if what.casefold() in one.name.casefold()]
    if len(found) != 1:
        raise UsageError(
            f"--purchase {clean(what)!r} is neither a price nor a server of the list",
            remedy=f"Listed: {', '.join(one.name for one in prices.servers)}. `infertui cost --prices` shows them.",
        )
    device = device or (last.device if last and last.on_gpu else found[0].gpu)
    offer = offer_of(found[0], gpu_w if device.casefold() == found[0].gpu.casefold() else None)
    if asked.watts is not None:
        offer = Offer(offer.name, offer.price, offer.gpus, asked.watts, "as given", offer.gpu)
    return offer, device


def _rent(terms: "Terms", device: str, last: "RunCost | None", prices: "Prices") -> "Price":
    """Price of a GPU-hour: as given, else of the last run, else of the list. Raises UsageError."""
    from infertui.analysis.cost.total import CURRENCY, Price, gpu_price
    from infertui.errors import UsageError

    if terms.gpu_hour is not None:
        return Price(terms.gpu_hour, terms.currency or CURRENCY, "as given")
    hour = last.price if last else gpu_price(device, prices, terms.currency)
    if hour is None:
        raise UsageError("buying is compared with renting, and there is no price of a GPU-hour", remedy=f"{_REMEDY}.")
    return hour
