"""Prices: those that ship in data/prices.toml, with the user's prices.toml over them, entry by entry, by name."""

import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.config.toml import MAX_BYTES, read, value_literal
from infertui.config.toml_text import loads
from infertui.errors import ConfigError, StoreError
from infertui.paths import config_dir, data
from infertui.text import clean, one_line

FILE = "prices.toml"
MAX_PRICE = 1e12


class Listed(Struct, frozen=True):
    """A price by its name, with where and when it was read."""

    name: str
    price: float
    currency: str
    source: str = ""
    date: str = ""


class GpuPrice(Listed, frozen=True):
    """One GPU for an hour, on demand. `name` is what the driver calls it."""


class ServerPrice(Listed, frozen=True, kw_only=True):
    """A server to buy. `power_w` is its draw at most, `gpu_power_w` the part of that which is one GPU's."""

    gpus: int
    power_w: float
    gpu: str = ""
    gpu_power_w: float = 0.0


class ElectricityPrice(Listed, frozen=True):
    """A kilowatt-hour, somewhere."""


E = TypeVar("E", bound=Listed)
KINDS: dict[str, type[Listed]] = {"gpu": GpuPrice, "server": ServerPrice, "electricity": ElectricityPrice}


class Prices(Struct, frozen=True):
    """All that are known, the shipped ones first."""

    gpus: tuple[GpuPrice, ...] = ()
    servers: tuple[ServerPrice, ...] = ()
    electricity: tuple[ElectricityPrice, ...] = ()

    def of_gpu(self, name: str) -> GpuPrice | None:
        """The price of the GPU that the driver calls so. Another variant, or a slice of it, is another GPU."""
        wanted = name.strip().casefold()
        return next((one for one in self.gpus if one.name.casefold() == wanted), None)

    def of_electricity(self, currency: str) -> ElectricityPrice | None:
        """The first one in that currency; the user's come first."""
        return next((one for one in self.electricity if one.currency == currency), None)


def user_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's own prices are, whether or not there are any."""
    return config_dir(environ) / FILE


def load_prices(environ: Mapping[str, str] = os.environ) -> Prices:
    """The shipped prices with the user's over them. Raises ConfigError that names file, key and value."""
    shipped = parse((data() / FILE).read_bytes(), FILE)
    path = user_file(environ)
    if not os.path.lexists(path):  # a link that leads nowhere is told
        return shipped
    own = _prices(read(path), clean(str(path)))
    return Prices(
        _merged(own.gpus, shipped.gpus),
        _merged(own.servers, shipped.servers),
        _merged(own.electricity, shipped.electricity),
    )


def parse(content: bytes, name: str) -> Prices:
    """The prices in TOML text; `name` stands for the file. Raises ConfigError."""
    return _prices(loads(content, name), name)


def _merged(own: tuple[E, ...], shipped: tuple[E, ...]) -> tuple[E, ...]:
    names = {one.name.casefold() for one in own}
    return (*own, *(one for one in shipped if one.name.casefold() not in names))


def _prices(table: Mapping[str, object], file: str) -> Prices:
    for key in table:
        if key not in KINDS:
            raise ConfigError(one_line(key, 60), "there is no such table", allowed=_tables(), source=file)
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for kind, struct in KINDS.items():
        entries = table.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ConfigError(
                kind, f"{one_line(repr(entries), 60)} is no list of tables", allowed=_tables(), source=file
            )
        for number, entry in enumerate(entries, 1):
            where = f"{kind} {number}"
            if isinstance(entry.get("name"), str):
                where = f"{kind} {one_line(repr(entry['name']), 60)}"
            found[kind].append(_entry(struct, entry, where, file))
        names = [one.name.casefold() for one in found[kind]]
        if twice := next((one.name for one in found[kind] if names.count(one.name.casefold()) > 1), None):
            raise ConfigError(
                f"{kind}.name", f"{one_line(repr(twice), 60)} stands twice", allowed="each name once", source=file
            )
    return Prices(tuple(found["gpu"]), tuple(found["server"]), tuple(found["electricity"]))


def _entry(struct: type[Listed], entry: Mapping[str, object], where: str, file: str) -> Listed:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    for key in entry:
        if key not in fields:
            raise ConfigError(
                f"{where}.{one_line(key, 60)}", "there is no such key", allowed=", ".join(fields), source=file
            )
    for name, field in fields.items():
        if name not in entry and field.required:
            raise ConfigError(f"{where}.{name}", "is missing", allowed=_ALLOWED[name], source=file)
        if name in entry and not _fits(name, entry[name]):
            problem = f"{one_line(repr(entry[name]), 60)} is not allowed"
            raise ConfigError(f"{where}.{name}", problem, allowed=_ALLOWED[name], source=file)
    made = msgspec.convert({"source": f"your {file}" if file != FILE else "", **entry}, struct)
    texts = {name: clean(value) for name, value in msgspec.structs.asdict(made).items() if isinstance(value, str)}
    return msgspec.structs.replace(made, **texts)


_ALLOWED = {
    "name": "text, not empty", "price": f"a number, 0 to {MAX_PRICE:.0e}", "currency": "three capitals, as in USD",
    "gpus": "a whole number, 1 to 1000", "power_w": "watts, 0 to 1e+06", "gpu_power_w": "watts, 0 to 1e+06",
    "gpu": "text", "source": "text", "date": 'text, as in "2026-03"',
}  # fmt: skip


def _fits(name: str, value: object) -> bool:
    match name:
        case "price":
            return _is_number(value, MAX_PRICE)
        case "power_w" | "gpu_power_w":
            return _is_number(value, 1e6)
        case "gpus":
            return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000
        case "currency":
            return isinstance(value, str) and is_currency(value)
        case "name":
            return isinstance(value, str) and bool(value.strip())
        case _:
            return isinstance(value, str)


def is_currency(text: str) -> bool:
    """Whether it is a currency's code: three capitals, as ISO 4217 has them."""
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _tables() -> str:
    return ", ".join(f"[[{kind}]]" for kind in KINDS)


def keep_gpu_price(name: str, price: float, currency: str, *, date: str, path: Path) -> None:
    """Write a GPU's price into the user's file, in the place of one of the same name; all else there stays as it is.

    Raises ConfigError for a file or a price that is wrong, StoreError where it cannot be written.
    """
    name = clean(name).strip()
    text = ""
    if os.path.lexists(path):
        read(path)  # a file that cannot be read is not written over
        text = regular_files.read(path, MAX_BYTES).decode("utf-8-sig")
        _prices(tomllib.loads(text), clean(str(path)))
    kept = _without(text, name)
    entry = {"name": name, "price": price, "currency": currency, "source": "given by you", "date": date}
    block = "[[gpu]]\n" + "".join(f"{key} = {value_literal(value)}\n" for key, value in entry.items())
    content = f"{kept.rstrip()}\n\n{block}" if kept.strip() else block
    wanted = [one for one in _tables_of(text) if str(one.get("name", "")).casefold() != name.casefold()]
    if (
        _prices(loads(content.encode(), clean(str(path))), clean(str(path))).of_gpu(name) is None
        or len(_tables_of(content)) != len(wanted) + 1
    ):
        raise ConfigError("gpu", f"{one_line(repr(name), 60)} cannot be changed by infertui", source=clean(str(path)))
    _write(path, content)


def _tables_of(text: str) -> list[dict[str, Any]]:
    return list(tomllib.loads(text).get("gpu", []))


def _without(text: str, name: str) -> str:
    """The text without the [[gpu]] table of that name."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            blocks.append([])
        blocks[-1].append(line)
    return "".join("".join(block) for block in blocks if not _is_gpu("".join(block), name))


def _is_gpu(block: str, name: str) -> bool:
    try:
        found = _tables_of(block)
    except tomllib.TOMLDecodeError:
        return False  # a bracket inside a longer value: whoever calls looks at what came out
    return any(str(one.get("name", "")).casefold() == name.casefold() for one in found)


def _write(path: Path, content: str) -> None:
    """Whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder, utf8 = path.parent, "utf-8"
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".prices-", delete=False, encoding=utf8) as file:
            file.write(content)
        try:
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot save prices to {clean(str(path))}: {error.strerror}") from None
