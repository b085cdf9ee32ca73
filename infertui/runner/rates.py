"""How often the devices are sampled, when several runs at once have a wish."""

from infertui.gpu.sampler import IDLE_HZ, Sampler


class SampleRates:
    """The fastest of the rates that are asked for is in force; with none, the idle rate."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._wishes: dict[object, float] = {}

    def ask(self, who: object, hz: float) -> None:
        """`who` wants this rate, instead of what it wanted before."""
        self._wishes[who] = hz
        self._apply()

    def release(self, who: object) -> None:
        """`who` has no wish any more."""
        self._wishes.pop(who, None)
        self._apply()

    def _apply(self) -> None:
        self._sampler.set_rate(max(self._wishes.values(), default=IDLE_HZ))
