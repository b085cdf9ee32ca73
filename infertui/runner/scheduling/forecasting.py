"""What is known of a config before it runs: whether it fits, and how long it will take."""

from collections.abc import Callable, Sequence

from msgspec import to_builtins
from msgspec.structs import replace

from infertui.config.parse import decode
from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.load.prompts import load_prompts
from infertui.runner.blocking import MODEL_S, run_blocking
from infertui.runner.control import Forecast
from infertui.runner.execution.loading import Fit, choose, foresee_fit
from infertui.runner.scheduling.device_slots import devices_of, slot_name, slot_of
from infertui.runner.scheduling.placement import estimate_duration, kind_of
from infertui.runner.scheduling.queue_store import Duration
from infertui.telemetry.readings import GpuInfo, Sample


async def forecast_of(
    config: Config,
    gpus: tuple[GpuInfo, ...],
    latest: Sample | None,
    durations: Callable[[str], Sequence[Duration]],
) -> Forecast:
    """The forecast of `config` on these GPUs; `durations` gives what earlier runs of a kind took."""

    def look() -> tuple[Fit, int, str]:
        prompts = load_prompts(decode(to_builtins(config)).workload)
        # Nobody asked for this config to be run yet: the interpreter that it names is not.
        choice = choose(replace(config.engine, python=""))
        lane = slot_of(config, gpus, choice)
        gpu = next((gpu for gpu in gpus if slot_name(gpu) in devices_of(lane)), None)
        if config.target.kind == "endpoint" and config.target.serve == "none":
            return Fit(("a server answers: nothing is loaded here",)), len(prompts), lane
        really = replace(config, engine=choice.engine)
        return foresee_fit(really, prompts, gpu, latest), len(prompts), lane

    try:
        fit, pool, lane = await run_blocking(look, MODEL_S)
    except InfertuiError as error:
        lines = (error.message, error.remedy) if error.remedy else (error.message,)
        return Forecast(lines, fits=None)
    seconds = estimate_duration(config, durations(kind_of(config, lane)), pool)
    needed = fit.needed.total if fit.needed else None
    return Forecast(fit.lines, fits=fit.fits, needed=needed, free=fit.free, seconds=seconds)
