"""What a mock server is asked to be: its times, what its answers look like, and what goes wrong."""

import ipaddress
import re

from msgspec import Struct

from infertui.errors import ConfigError
from infertui.mock.dressings import DRESSINGS, check_together
from infertui.mock.families import FAMILIES, Family
from infertui.mock.faults import FAULTS
from infertui.text import quoted

MODEL = "mock"
NS_PER_S = 1_000_000_000
LONGEST_S = 86_400.0
MOST_TOKENS = 1_000_000
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|µs|ms|s|m)?")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class MockOptions(Struct, frozen=True, kw_only=True):
    """All that can be set. Times are seconds; a spread is half the width of a uniform deviation.

    `osl` 0: as many tokens as are asked for. `slots` 0: any number at once. `prefill_rate`, in prompt tokens a second,
    adds the time of tokens that are not cached to `ttft_s`; 0: none. `kv_blocks` is the size of the KV cache in blocks
    of 16 tokens. `coalesce_s`: least time between two wake-ups. `stop_after`: requests after which nothing listens any
    more; 0: never.
    """

    host: str = "127.0.0.1"
    port: int = 0
    uds: str = ""
    family: Family = "all"
    ttft_s: float = 0.05
    itl_s: float = 0.01
    osl: int = 0
    ttft_spread_s: float = 0.0
    itl_spread_s: float = 0.0
    seed: int = 0
    dressings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    fault_rate: float = 1.0
    fault_every: int = 0
    slots: int = 0
    itl_per_stream_s: float = 0.0
    prefill_rate: float = 0.0
    prefix_cache: bool = False
    kv_blocks: int = 65_536
    stop_after: int = 0
    tls: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    api_key: str = ""
    spin_s: float = 60e-6
    coalesce_s: float = 0.0
    read_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls or bool(self.tls_cert)


def seconds(text: str, *, name: str) -> float:
    """A duration such as `50ms`, `1.5s`, `200us`; a bare number is seconds. Raises ConfigError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or (value := float(found[1]) * _UNITS[found[2] or "s"]) > LONGEST_S:
        raise ConfigError(name, f"{quoted(text)} is no duration", allowed="a number with us, ms or s, up to a day")
    return value


def check(options: MockOptions) -> MockOptions:
    """The same options, if they can be had. Raises ConfigError."""
    _check_place(options)
    for name, value in (
        ("--ttft", options.ttft_s),
        ("--itl", options.itl_s),
        ("--itl-per-stream", options.itl_per_stream_s),
        ("--coalesce", options.coalesce_s),
        ("--spin", options.spin_s),
    ):
        if not 0 <= value <= LONGEST_S:
            raise ConfigError(name, f"{value:g} s", allowed="0 s to a day")
    if not 0 <= options.ttft_spread_s <= options.ttft_s:
        raise ConfigError(
            "--ttft-spread", f"{options.ttft_spread_s:g} s", allowed=f"0 s to --ttft, {options.ttft_s:g} s"
        )
    # Beyond a half two tokens could change places.
    if not 0 <= options.itl_spread_s <= options.itl_s / 2:
        raise ConfigError(
            "--itl-spread", f"{options.itl_spread_s:g} s", allowed=f"0 s to half of --itl, {options.itl_s / 2:g} s"
        )
    for name, count, most in (
        ("--osl", options.osl, MOST_TOKENS),
        ("--slots", options.slots, 65_536),
        ("--fault-every", options.fault_every, 1_000_000_000),
        ("--stop-after", options.stop_after, 1_000_000_000),
        ("--kv-blocks", options.kv_blocks, 16_777_216),
    ):
        if not 0 <= count <= most:
            raise ConfigError(name, str(count), allowed=f"0 to {most}")
    if options.kv_blocks < 1:
        raise ConfigError("--kv-blocks", "0", allowed="1 and above")
    if not 0 <= options.fault_rate <= 1:
        raise ConfigError("--fault-rate", f"{options.fault_rate:g}", allowed="0 to 1")
    if not 0 <= options.prefill_rate <= 1e12:
        raise ConfigError("--prefill-rate", f"{options.prefill_rate:g}", allowed="0 to 1e12 tokens a second")
    _check_words("--dressing", options.dressings, tuple(DRESSINGS))
    check_together(options.dressings)
    _check_words("--fault", options.faults, tuple(FAULTS))
    _check_words("--server", (options.family,), FAMILIES)
    return options


def _check_words(name: str, words: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for word in words:
        if word not in allowed:
            raise ConfigError(name, f"{quoted(word)} is none", allowed=", ".join(allowed))


def _check_place(options: MockOptions) -> None:
    if not 0 <= options.port <= 65_535:
        raise ConfigError("--port", str(options.port), allowed="0 to 65535; 0: one that is free")
    if options.uds and (options.port or options.secure):
        raise ConfigError("--uds", "stands alone: it has no port and no TLS")
    if options.uds and len(options.uds.encode()) > 107:
        raise ConfigError(
            "--uds", f"a path of {len(options.uds.encode())} bytes", allowed="up to 107, the system's limit"
        )
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError(
            "--tls-cert", "certificate and key go together", allowed="--tls-cert FILE --tls-key FILE, or --tls"
        )
    if options.host != "localhost":
        try:
            loopback = ipaddress.ip_address(options.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ConfigError(
                "--host",
                f"{quoted(options.host)} is not this machine alone",
                allowed="127.0.0.1 and its kin, ::1, localhost",
                remedy="A mock has no place in a network: who finds it takes its figures for those of a server.",
            )
