"""An endpoint under load: what a run of it holds, and leaves at work for the next one of a tuning session."""

import contextlib
from collections.abc import Mapping
from typing import TypeVar

from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.load.levels import is_open
from infertui.runner.endpoint.asked import as_found, processes_for
from infertui.runner.endpoint.live import LiveClients
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.probe import EndpointFacts
from infertui.worker.loadgen.protocol import AdjustLoad

_ADJUSTED = ("load.concurrency", "load.request_rate", "load.shared_prefix", "workload.input_len", "workload.output_len")
"""What clients take anew while they work, each above 0 before and after, but for the share of a prefix."""
_Value = TypeVar("_Value", int, float)
_OF_LOADS = ("target", "load", "workload", "model", "device", "engine")


class EndpointAtWork:
    """A server that was looked at, and clients that are ready, or load it. `served` is closed with it, as is a server
    of ours."""

    def __init__(
        self,
        asked: Config,
        facts: EndpointFacts,
        url: str,
        address: EndpointAddress,
        key: str,
        clients: LiveClients,
        served: contextlib.AsyncExitStack,
    ) -> None:
        self.facts = facts
        self.url, self.address, self.key = url, address, key
        self.clients = clients
        self._asked = asked
        self._served = served

    @property
    def token_s(self) -> float:
        """About the time of a token: over that a start is spread."""
        return self.facts.token_s or 0.0

    def adjustment(self, wanted: Config, cpus: int) -> AdjustLoad | None:
        """What makes of the load the one that is wanted; None where that takes other clients, or another look."""
        before, after = _of_load(self._asked), _of_load(wanted)
        changed = {key: value for key, value in after.items() if before[key] != value}
        if not changed.keys() <= set(_ADJUSTED) or not self.clients.working:
            return None
        if wanted.load.steps or wanted.load.ramp_s or wanted.load.trace or wanted.workload.num_prompts:
            return None
        if any(not before[key] or not value for key, value in changed.items() if key != "load.shared_prefix"):
            return None
        if processes_for(as_found(wanted, self.facts), cpus) > self.clients.parts:
            return None
        load, workload = wanted.load, wanted.workload
        if is_open(load) and 0 < load.concurrency < self.clients.parts:
            return None  # a client without a place in flight would keep its part of the requests for itself

        def anew(key: str, value: _Value) -> _Value | None:
            return value if key in changed else None

        return AdjustLoad(
            concurrency=anew("load.concurrency", load.concurrency),
            request_rate=anew("load.request_rate", load.request_rate),
            input_len=anew("workload.input_len", workload.input_len),
            output_len=anew("workload.output_len", workload.output_len),
            shared_prefix=anew("load.shared_prefix", load.shared_prefix),
            spread_s=self.token_s,
        )

    def adjusted(self, wanted: Config) -> None:
        """It is the load of that config now."""
        self._asked = wanted

    async def close(self) -> None:
        """Abort what is in flight, end the clients, and the server where it was ours."""
        try:
            await self.clients.leave()
        finally:
            await self._served.aclose()


def _of_load(config: Config) -> Mapping[str, object]:
    return {key: value for key, value in flat_values(config).items() if key.partition(".")[0] in _OF_LOADS}
