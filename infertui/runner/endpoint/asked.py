"""A load's config as those see it who execute it, and who sum it up; with what was found of the endpoint."""

import math
from collections.abc import Mapping

from msgspec.structs import replace

from infertui.config.endpoint import LoadConfig, TargetConfig, heeded_by_endpoints
from infertui.config.parse import flat_values
from infertui.config.schema import Config, DeviceConfig
from infertui.errors import ConfigError
from infertui.load.levels import in_flight_asked, is_open, last_level, levels_of, rate_asked
from infertui.measure.load.slo import parse_slo
from infertui.measure.load.steps import AskedStep
from infertui.measure.load.summary import AskedLoad
from infertui.results.config_keys import default_of
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.dialects.registry import dialect_of
from infertui.targets.endpoint.extras import check_not_kept, further_fields, further_headers, headers_of, key_of
from infertui.targets.endpoint.probe import EndpointFacts
from infertui.targets.endpoint.tls import tls_context
from infertui.targets.engine.contract import Loaded

MOST_IN_FLIGHT, MOST_RATE = 512, 600
"""What one client process keeps up with, of requests in flight or a second."""
_AROUND = "tokens around a prompt"


def check_endpoint(config: Config) -> None:
    """Raise ConfigError for what can be said against an endpoint and a load without asking anybody."""
    target = config.target
    further_headers(target)
    further_fields(target)
    address = parse_url(target.url) if target.serve == "none" else None
    _check_certificates(target, tls=address is not None and address.tls)
    if address is not None:
        key = key_of(target, address)
        check_not_kept(target, key)
        headers_of(dialect_of("openai-chat" if target.api == "auto" else target.api), target, key)
        _check_engine(config)
    parse_slo(config.load.slo)


def _check_certificates(target: TargetConfig, *, tls: bool) -> None:
    if tls:
        tls_context(target)
        return
    for name in ("ca_file", "insecure"):
        if getattr(target, name):
            raise ConfigError(
                f"target.{name}", "is about a server's certificate, and there is none", allowed="with an https:// URL"
            )


def _check_engine(config: Config) -> None:
    """Of a server that runs already, no option of an engine can be heeded."""
    for key, value in flat_values(config).items():
        if key.startswith("engine.") and value != default_of(key):
            raise ConfigError(
                key,
                f"is {value}, and a server that runs already has its own options",
                remedy="Leave it out, or let infertui start the server: target.serve (--serve).",
            )


def unheeded(config: Config) -> tuple[str, ...]:
    """Keys that say something, and nothing to this load."""
    served = config.target.serve != "none"
    return tuple(
        key
        for key, value in flat_values(config).items()
        if not heeded_by_endpoints(key, served=served)
        and value != default_of(key)
        and not (key == "model.id" and value == config.target.model)
    )


def asked_load(config: Config, loaded: Loaded | None = None) -> AskedLoad:
    """What was asked of the clients; `loaded` is what `loaded_of` says of the server, None where that is not known."""
    load, workload = config.load, config.workload
    spread = {"poisson": 1.0, "constant": 0.0, "gamma": load.burstiness**-0.5}[load.arrival]
    return AskedLoad(
        concurrency=in_flight_asked(load),
        rate=rate_asked(load),
        cv=None if load.trace or load.steps or load.ramp_s else spread,
        ramp_s=0.0 if load.trace else last_level(load).start,
        slo=parse_slo(load.slo),
        exact_lengths=load.ignore_eos,
        fresh_prompts=not load.shared_prefix and load.turns == 1 and bool(workload.input_len) and not load.trace,
        steps=_steps(load),
        around_tokens=float(loaded.details.get(_AROUND, 0.0)) if loaded else 0.0,
    )


def _steps(load: LoadConfig) -> tuple[AskedStep, ...]:
    """The levels of a load that was asked for in steps."""
    if not load.steps or load.trace:
        return ()
    return tuple(AskedStep(one.level, one.start, until) for one, until in levels_of(load).spans())


def level_asked(config: Config) -> float:
    """Requests a second, or in flight, that are asked for in the end."""
    return 1.0 if config.load.trace else last_level(config.load).level


def processes_for(config: Config, cpus: int) -> int:
    """How many client processes a load needs: one core stamps so much in time, and no more.

    Half of the processors at most: the others are the server's, where it runs here. On two, 1,024 streams are stamped
    within 0.7 ms (p99) by one process, and within 25 ms by two that wait for each other: see
    tests/benchmarks/load_accuracy.py. Of a rate with a most in flight each has a part of that: without
    one it could send nothing.
    """
    level = max((segment.level for segment in levels_of(config.load).segments), default=1.0)
    most = MOST_RATE if config.load.request_rate else MOST_IN_FLIGHT
    together = config.load.concurrency if is_open(config.load) else 0
    return max(1, min(cpus // 2, math.ceil(level / most), together or MOST_IN_FLIGHT))


def server_environment(device: DeviceConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a server that is started here: which GPUs it sees, as an engine of that config would."""
    shown = device.visible
    if device.name == "cpu":
        shown = "-1"
    elif device.name.startswith("cuda:"):
        number = int(device.name.removeprefix("cuda:"))
        listed = [part.strip() for part in shown.split(",") if part.strip()]
        shown = listed[number] if number < len(listed) else str(number)
    return {**environ, "CUDA_VISIBLE_DEVICES": shown} if shown else dict(environ)


def as_found(config: Config, facts: EndpointFacts) -> Config:
    """The config with what was found in place of what was left open, so that it repeats this run and no other."""
    if config.target.serve != "none":  # the model is the one that the server was started with
        return replace(config, target=replace(config.target, api=facts.api))
    target = replace(config.target, api=facts.api, model=facts.model)
    return replace(config, target=target, model=replace(config.model, id=facts.model))


def loaded_of(facts: EndpointFacts, target: TargetConfig) -> Loaded:
    """What answers, in the words of an engine; what a server does not tell is not known."""
    name = facts.server or "endpoint"
    return Loaded(
        engine=name,
        versions={name: facts.version} if facts.version else {},
        device="endpoint",
        device_name=target.url,
        dtype="",
        attention="",
        parameters=None,
        weight_bytes=None,
        vocabulary=0,
        random_weights=False,
        memory_policy="",
        max_positions=facts.max_positions,
        engine_requested=name,
        details={"api": facts.api, "model": facts.model}
        | ({_AROUND: f"{max(0.0, facts.scale.overhead):g}"} if facts.scale else {}),
    )
