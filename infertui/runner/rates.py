"""How often the devices are sampled, when several runs at once have a wish."""

from infertui.telemetry.sampler import IDLE_HZ, Sampler

WATCHED_HZ = 2.0
"""The rate while nothing is measured and somebody looks on. A measurement has the rate that it asks for, no other."""


class SampleRates:
    """The fastest of the rates that are asked for is in force; with none, one for those who look on, or for nobody."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._wishes: dict[object, float] = {}
        self._resting_hz = IDLE_HZ

    def ask(self, who: object, hz: float) -> None:
        """`who` wants this rate, instead of what it wanted before."""
        self._wishes[who] = hz
        self._apply()

    def release(self, who: object) -> None:
        """`who` has no wish any more."""
        self._wishes.pop(who, None)
        self._apply()

    def watched(self, somebody: bool) -> None:
        """Whether somebody looks on."""
        self._resting_hz = WATCHED_HZ if somebody else IDLE_HZ
        self._apply()

    def _apply(self) -> None:
        self._sampler.set_rate(max(self._wishes.values(), default=self._resting_hz))
