"""What this machine can measure of a model: looked at without loading anything. Not for an event loop."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from infertui.config.schema import Config
from infertui.errors import InfertuiError, ModelError
from infertui.models.resolve import ModelSource, resolve
from infertui.pipeline.arms import ArmSpec, config_of
from infertui.pipeline.state import LeftOut, PipelineArm
from infertui.runner.execution.loading import choose
from infertui.runner.scheduling.device_slots import CPU, slot_of
from infertui.runner.scheduling.vetting import refusals
from infertui.telemetry.readings import GpuInfo

LOOK_S = 120.0
"""What looking may take: asking other interpreters, and Transformers for a model that is not known here."""


class Possible(Struct, frozen=True):
    """Arms that can be measured, each with the device that it would run on; and those that cannot."""

    arms: tuple[PipelineArm, ...]
    lanes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def model_here(config: Config) -> ModelSource | None:
    """The model, where it is on this machine and whole."""
    try:
        return resolve(config.model.id, config.model.revision)
    except ModelError:
        return None


def found_model(config: Config) -> ModelSource:
    """The model. Raises ModelError, with a remedy, where it is not here."""
    return resolve(config.model.id, config.model.revision)


def possible(base: Config, specs: Sequence[ArmSpec], seen: tuple[GpuInfo, ...], *, asked: bool) -> Possible:
    """Which arms can be measured, in their order. `asked` is kept with those that cannot."""
    built, left_out = [], {}
    for spec in specs:
        try:
            built.append(PipelineArm(spec.name, config_of(base, spec)))
        except InfertuiError as error:
            left_out[spec.name] = LeftOut(spec.name, reason(error), asked)
    for arm, problem in zip(built, look([arm.config for arm in built], seen), strict=True):
        if problem is not None:
            left_out[arm.name] = LeftOut(arm.name, reason(problem), asked)
    arms = tuple(arm for arm in built if arm.name not in left_out)
    ordered = tuple(left_out[spec.name] for spec in specs if spec.name in left_out)
    return Possible(arms, tuple(lane_of(arm.config, seen) for arm in arms), ordered)


def look(configs: Sequence[Config], seen: tuple[GpuInfo, ...]) -> tuple[InfertuiError | None, ...]:
    """What is known to be wrong with each of the configs."""
    return asyncio.run(refusals(configs, seen, LOOK_S))


def lane_of(config: Config, seen: tuple[GpuInfo, ...]) -> str:
    """The device that it will run on: `cpu`, `gpu0`."""
    try:
        return slot_of(config, seen, choose(config.engine))
    except InfertuiError:
        return CPU


def default_lane(base: Config, baseline: ArmSpec, seen: tuple[GpuInfo, ...]) -> str:
    """The device that the baseline runs on, which says what is looked for to beat it."""
    try:
        return lane_of(config_of(base, baseline), seen)
    except InfertuiError:
        return CPU if base.device.name == "cpu" or not seen else "gpu"


def reason(error: InfertuiError) -> str:
    """An error in a line, with its remedy."""
    return f"{error.message}. {error.remedy}" if error.remedy else error.message
