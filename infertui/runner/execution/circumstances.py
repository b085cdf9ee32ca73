"""What a verdict rests on beside the batches, from a run's figures: when it ends, and when it is recomputed."""

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.measure.validity import Circumstances
from infertui.results.result import DeviceFigures, PowerFigures
from infertui.targets.engine.base import Loaded


def circumstances(
    config: Config, loaded: Loaded | None, device: DeviceFigures | None, power: PowerFigures | None
) -> Circumstances:
    """What the figures tell; what they do not, its caller adds.

    The driver's counters are read before the first batch and after the last: what they count is of that whole span.
    """
    seen = Circumstances(
        output_len=config.workload.output_len,
        window_s=(power.span_s or power.window_s) if power else None,
        random_weights=bool(loaded and loaded.random_weights),
        remote_code=config.model.trust_remote_code,
    )
    if device is None:
        return seen
    return replace(
        seen,
        throttles=device.throttles,
        throttle_shares=device.throttle_shares,
        violation_s=device.violation_s,
        clock_fall=device.sm_clock_fall,
        swapped=device.swapped,
        host_busy=device.cpu_busy,
        others_cpu=device.cpu_others,
    )
