"""How much the client itself stood between the server and the figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from infertui.measure.load.figures import ClientFigures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Meter(Protocol):
    """What a client process tells of itself, see `worker.loadgen.protocol.ClientMeter`."""

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that it used."""
        ...

    @property
    def wall_s(self) -> float:
        """Of so many."""
        ...

    @property
    def lag_p99_s(self) -> float:
        """How late its event loop was, in seconds."""
        ...

    @property
    def lag_max_s(self) -> float:
        """At most."""
        ...

    @property
    def start_s(self) -> float:
        """From its start to the first request, in seconds."""
        ...

    @property
    def connections(self) -> int:
        """How many it opened."""
        ...

    @property
    def retried(self) -> int | None:
        """How many requests it sent twice; None: not told."""
        ...


def client_figures(late: "Floats", connect: "Floats", meters: Sequence[Meter]) -> ClientFigures | None:
    """Of all processes; `late` is for each request how long after it was due it was sent, `connect` how much of that
    it waited for a connection. A server that closes them, or is slow to accept them, makes no client late."""
    import numpy as np

    if not meters and not len(late):
        return None
    late = np.maximum(late - connect, 0.0)
    retried = [one.retried for one in meters if one.retried is not None]
    return ClientFigures(
        processes=len(meters),
        cpu=max((one.cpu_s / one.wall_s for one in meters if one.wall_s > 0), default=None),
        lag_p99=max((one.lag_p99_s for one in meters), default=None),
        lag_max=max((one.lag_max_s for one in meters), default=None),
        late_p50=float(np.percentile(late, 50)) if len(late) else None,
        late_p99=float(np.percentile(late, 99)) if len(late) else None,
        late_max=float(late.max()) if len(late) else None,
        start=max((one.start_s for one in meters), default=None),
        connections=sum(one.connections for one in meters) if meters else None,
        retried=sum(retried) if meters and len(retried) == len(meters) else None,
        connect_mean=float(connect.mean()) if len(connect) else None,
        connect_p99=float(np.percentile(connect, 99)) if len(connect) else None,
    )
