"""The simulator: exactly known timings, to check the measuring itself."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec
from infertui.config.section import MAX_INT, Section

SimulatorFault = Literal["none", "error", "crash", "hang", "exit", "out-of-memory", "oom-kill"]


class SimulatorOptions(Section, frozen=True):
    """The simulator engine: exactly known timings, to check the measuring itself. It loads no model."""

    ttft_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time to first token")] = 20.0
    step_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time of every further token step")] = 5.0
    jitter_ms: Annotated[
        float, Meta(ge=0, le=3.6e6, description="each step is longer by a seeded draw from 0 to this")
    ] = 0.0
    process_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=3.6e6,
            description="each process's steps are all longer by one draw from 0 to this, another in every process; "
            "jitter is then drawn anew as well",
        ),
    ] = 0.0
    layers: Annotated[
        int, Meta(ge=0, le=10_000, description="layers that can be put on the GPU it claims to use; 0: none")
    ] = 0
    n_gpu_layers: Annotated[int, Meta(ge=-1, le=10_000, description="layers of these on the GPU; -1: all")] = -1
    cpu_layer_ms: Annotated[
        float, Meta(ge=0, le=3.6e6, description="every step is longer by this for each layer that is not on the GPU")
    ] = 0.0
    gpu_layer_ms: Annotated[
        float, Meta(ge=0, le=3.6e6, description="every step is longer by this for each layer on the GPU")
    ] = 0.0
    gpu_mib: Annotated[
        float, Meta(ge=0, le=MAX_INT, description="memory of the GPU that it claims to take beside the layers")
    ] = 0.0
    gpu_layer_mib: Annotated[
        float, Meta(ge=0, le=MAX_INT, description="memory of the GPU that it claims to take for each layer there")
    ] = 0.0
    gpu_free_mib: Annotated[
        float, Meta(ge=0, le=MAX_INT, description="loading fails for want of memory beyond this; 0: never")
    ] = 0.0
    load_ms: Annotated[float, Meta(ge=0, le=3.6e6, description="time that loading takes")] = 0.0
    fail_every: Annotated[int, Meta(ge=0, le=MAX_INT, description="every n-th batch fails; 0: none")] = 0
    short_by: Annotated[int, Meta(ge=0, le=MAX_INT, description="tokens by which each output falls short")] = 0
    other_from: Annotated[
        int, Meta(ge=0, le=MAX_INT, description="token from which each output is another than usual; 0: none")
    ] = 0
    virtual_time: Annotated[
        bool, Meta(description="advance a virtual clock instead of sleeping: reported times are exact")
    ] = False
    gpu_uuid: Annotated[
        str, Meta(description="UUID of a GPU that it claims to use, so that its telemetry counts as the run's")
    ] = ""
    fault: Annotated[SimulatorFault, Meta(description="what goes wrong, once, in fault_batch")] = "none"
    fault_batch: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_INT,
            description="the batch half-way through which it does, warm-up included; 0: while loading",
        ),
    ] = 1


SPEC = EngineSpec(
    name="simulator",
    summary="known timings, no model: checks the measuring",
    module="infertui.targets.engine.simulator",
    options=SimulatorOptions,
    common={},
    gpu_layers="n_gpu_layers",
    adapts=("engine.simulator.ttft_ms", "engine.simulator.step_ms", "engine.simulator.jitter_ms"),
)
