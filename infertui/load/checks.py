"""What of [load] and [target] contradicts something else, told before anything begins. Pure: no file is read."""

from msgspec.structs import fields

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.levels import parse_steps

_WITH_A_TRACE = (
    "request_rate", "arrival", "burstiness", "ramp_s", "steps", "lengths", "length_spread", "shared_prefix", "turns",
)  # fmt: skip
_WITH_A_RATE = ("arrival", "burstiness")


def check_load(target: TargetConfig, load: LoadConfig, workload: WorkloadConfig) -> None:
    """Raise ConfigError for a key that would be without effect, or says the contrary of another."""
    if target.kind == "engine":
        _for_endpoints(target, load)
        return
    if target.url and target.serve != "none":
        raise ConfigError(
            "target.url",
            f"names a server, and target.serve = {target.serve} starts one",
            remedy="Leave one of them out.",
        )
    if not target.url and target.serve == "none":
        raise ConfigError(
            "target.url", "is empty: there is nothing to ask",
            remedy="Give the server's URL, or let infertui start one: target.serve = llama-server.",
        )  # fmt: skip
    if target.serve_args and target.serve == "none":
        raise ConfigError("target.serve_args", "is for a server that infertui starts, and target.serve is none")
    if workload.batch_size != 1:
        raise ConfigError(
            "workload.batch_size", "is for engines: a server makes its own batches",
            remedy="Say with load.concurrency how many requests are in flight.",
        )  # fmt: skip
    if load.trace:
        _beside_a_trace(load, workload)
    else:
        _times(load)
        _lengths(load, workload)


def _for_endpoints(target: TargetConfig, load: LoadConfig) -> None:
    for table, section in (("target", target), ("load", load)):
        for name in _changed(section):
            raise ConfigError(
                f"{table}.{name}", "is for endpoints, and target.kind is engine",
                remedy=f"Set target.kind = endpoint, or leave {table}.{name} out.",
            )  # fmt: skip


def _changed(section: TargetConfig | LoadConfig) -> list[str]:
    """Keys that are not as they are by themselves."""
    return [field.name for field in fields(section) if getattr(section, field.name) != field.default]


def _beside_a_trace(load: LoadConfig, workload: WorkloadConfig) -> None:
    given = [f"load.{name}" for name in _changed(load) if name in _WITH_A_TRACE]
    plain = WorkloadConfig()
    given += [
        f"workload.{name}"
        for name in ("input_len", "prompts", "prompts_file")
        if getattr(workload, name) != getattr(plain, name)
    ]
    for key in given:
        raise ConfigError(
            key, "says what the trace says: its times, lengths and prompts are taken",
            remedy=f"Leave {key} out, or load.trace.",
        )  # fmt: skip


def _times(load: LoadConfig) -> None:
    if not load.request_rate:
        for name in _changed(load):
            if name in _WITH_A_RATE:
                raise ConfigError(
                    f"load.{name}", "spaces the times of a rate, and there is none",
                    remedy="Set load.request_rate, in requests a second.",
                )  # fmt: skip
    if load.burstiness != 1.0 and load.arrival != "gamma":
        raise ConfigError(
            "load.burstiness", f"shapes gamma arrivals, and load.arrival is {load.arrival}",
            remedy="Set load.arrival = gamma.",
        )  # fmt: skip
    if not load.steps:
        return
    if load.ramp_s:
        raise ConfigError("load.ramp_s", "and load.steps both say how the level grows", remedy="Leave one of them out.")
    if load.concurrency and not load.request_rate:
        raise ConfigError(
            "load.concurrency", "and load.steps both say how many requests are in flight",
            remedy="Leave load.concurrency out; or set load.request_rate, where the steps are rates.",
        )  # fmt: skip
    parse_steps(load.steps, whole=not load.request_rate)


def _lengths(load: LoadConfig, workload: WorkloadConfig) -> None:
    if load.lengths == "fixed" and load.length_spread:
        raise ConfigError(
            "load.length_spread", "spreads lengths, and load.lengths is fixed",
            allowed="with load.lengths = normal or uniform",
        )  # fmt: skip
    if load.lengths != "fixed" and not load.length_spread:
        raise ConfigError(
            "load.lengths", f"is {load.lengths}, and load.length_spread is 0, so that all are alike",
            remedy="Set load.length_spread, as a share of the mean.",
        )  # fmt: skip
    if workload.input_len:
        return
    if workload.prompts == "random" and not workload.prompts_file:
        raise ConfigError("workload.input_len", "is 0, and random prompts have no length", allowed="1 and above")
    if load.shared_prefix:
        raise ConfigError(
            "load.shared_prefix", "is a share of workload.input_len, which is 0: prompts are taken as they are",
            remedy="Set workload.input_len.",
        )  # fmt: skip
