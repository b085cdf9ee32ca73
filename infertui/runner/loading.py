"""Which engine will really run: the one that was asked for, or the one that stands in for it."""

from msgspec import Struct

from infertui.config.engine_options import LEVERS
from infertui.config.schema import EngineConfig
from infertui.errors import EngineError
from infertui.targets.engine.base import Probe
from infertui.targets.engine.environments import probe_for

STAND_IN = "transformers"


class Choice(Struct, frozen=True):
    """The engine that will run, and whether it can. `requested` and `reason` are empty unless it is a fallback."""

    engine: EngineConfig
    status: Probe
    requested: str = ""
    reason: str = ""


def choose(engine: EngineConfig) -> Choice:
    """The engine itself; Transformers with every lever but `dtype` at its default where it cannot be used and
    `engine.fallback` allows that. One that can be used and then fails has failed: nothing stands in for it.

    Looks at files, and may ask another interpreter for seconds: not to be called on an event loop.
    """
    status = probe_for(engine)
    if status.available or not engine.fallback or engine.name == STAND_IN:
        return Choice(engine, status)
    instead = EngineConfig(name=STAND_IN, dtype=engine.dtype)
    reason = status.reason
    if dropped := [
        f"{lever} = {getattr(engine, lever)}" for lever in LEVERS if getattr(engine, lever) != getattr(instead, lever)
    ]:
        reason += f" (and without engine.{', engine.'.join(dropped)})"
    return Choice(instead, probe_for(instead), requested=engine.name, reason=reason)


def require_usable(choice: Choice) -> None:
    """Raise EngineError, with reason and remedy, for an engine that cannot be used."""
    if choice.status.available:
        return
    first = f"engine {choice.requested} cannot be used: {choice.reason}; " if choice.requested else ""
    raise EngineError(
        f"{first}engine {choice.engine.name} cannot be used: {choice.status.reason}", remedy=choice.status.remedy
    )
