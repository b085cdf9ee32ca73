"""Requests that are known to be wrong before anything of them begins: no worker is started, and no run is kept."""

from collections.abc import Sequence

from msgspec import to_builtins

from infertui.config.decode import decode
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.engines.base import check
from infertui.errors import InfertuiError
from infertui.gpu.readings import GpuInfo
from infertui.models.resolve import resolve
from infertui.runner.choice import choose, require_usable
from infertui.runner.environment import planned_gpus
from infertui.runner.request import load_request
from infertui.workloads.prompts import load_prompts


def vet(variants: Sequence[Variant], gpus: tuple[GpuInfo, ...]) -> None:
    """Raise what is wrong with the first of the variants, if none of them can run: one that can is worth running.

    Asks for engines, which can take seconds, and reads files. What shows only when it is tried shows then.
    """
    first: InfertuiError | None = None
    asked: set[object] = set()
    for variant in variants:
        config = variant.config
        key = (config.model, config.engine, config.device, config.workload)
        if key in asked:
            continue
        asked.add(key)
        try:
            _vet(config, gpus)
        except InfertuiError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def _vet(config: Config, gpus: tuple[GpuInfo, ...]) -> None:
    prompts = load_prompts(decode(to_builtins(config)).workload)
    choice = choose(config.engine)
    require_usable(choice)
    planned_gpus(config, gpus, choice)
    if choice.engine.name != "simulator":
        source = resolve(config.model.id, config.model.revision)
        check(load_request(config, choice, prompts), source)
