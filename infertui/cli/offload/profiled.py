"""`infertui run --profile`: a run with as many layers on the GPU as was found best there, and fewer where less is free.

Which profile was taken stands in the run's labels: `profile`, and `profile_why` where it is not the one asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.kept import KeptProfiles, Profile, ProfileName, each_profiles
from infertui.analysis.offload.points import NO_ROOM, layers_key
from infertui.analysis.offload.profiles import Chosen, choose_profile, label, steps_below, wanted_by_size
from infertui.cli.output import warn
from infertui.cli.running.foreground import FAILED, INVALID, OK
from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config, ModelConfig
from infertui.config.sources import DEFAULT, Resolved
from infertui.config.sweep import rooted
from infertui.errors import UsageError
from infertui.results.upgrade import error_kind
from infertui.runner.execution.loading import choose, planned_gpus
from infertui.runner.offloading import build_of, claiming, content_of
from infertui.telemetry.cards import cards_now
from infertui.text import clean, one_line
from infertui.units import format_bytes

if TYPE_CHECKING:
    from infertui.config.sweep import Variant
    from infertui.results.result import Result

AUTO, CPU = "auto", "cpu"
WORDS = (AUTO, "fast", "balanced", "performance", CPU, "least-time", "most-tokens", "least-energy")
"""What --profile takes."""
LABEL, WHY = "profile", "profile_why"
_TAKEN = ("n_ctx", "n_batch")
_LONGEST = 200


class Profiled(Struct, frozen=True):
    """A config that a profile was put into, and what to fall back to."""

    config: Config
    kept: KeptProfiles
    chosen: Chosen
    base: Config
    otherwise: str = ""
    """What is not as it was when the profile was measured."""

    @property
    def told(self) -> str:
        """Which profile that is, and why no other, for whoever asked."""
        found = self.chosen
        where = f" on {clean(self.kept.gpu)}" if self.kept.gpu else ""
        cpu = ", without the GPU" if found.cpu else ""
        why = f": {'; '.join(found.why)}" if found.why else ""
        layers = f"{found.profile.n_gpu_layers} of {self.kept.layers} layers"
        doubt = f"; its run was INVALID: {clean(found.profile.doubt)}" if found.profile.doubt else ""
        other = f"; {self.otherwise}" if self.otherwise else ""
        return f"profile {label(found.name)}, {layers}{where}{cpu}{why}{other}{doubt}"

    def below(self, reason: str) -> "Profiled | None":
        """With the next profile below, since this one had no room; None where none is left."""
        found = self.chosen
        if found.cpu:
            return None
        why = (*found.why, f"{label(found.name)} found no room: {one_line(reason, _LONGEST)}")
        for name in steps_below(self.kept.profiles, found.name):
            profile = self.kept.profiles.get(name)
            if profile is not None:
                return _with(self.base, self.kept, Chosen(name, profile, why), self.otherwise)
        profile = found.profile if found.name == "cpu_fallback" else None
        if profile is None:
            return None
        return _with(self.base, self.kept, Chosen(found.name, profile, why, cpu=True), self.otherwise)


def profiled(resolved: Resolved, asked: str) -> Profiled:
    """The config with the profile that was asked for, or the one below it for which there is room now.

    Raises UsageError where no profiles are kept that fit.
    """
    if asked not in WORDS:
        raise UsageError(f"there is no profile {clean(asked)!r}", remedy=f"Allowed: {', '.join(WORDS)}.")
    kept, card = _kept_for(resolved)
    key = layers_key(kept.engine)
    if resolved.sources.get(key, DEFAULT) != DEFAULT or any(key in axes for axes in _axes(resolved.config)):
        raise UsageError(
            f"--profile says how many layers are on the GPU, and {key} is given as well", remedy="Leave one of them."
        )
    name = wanted_by_size(card.total) if asked == AUTO else _name(asked)
    chosen = choose_profile(kept.profiles, name, card)
    if chosen is None:
        have = ", ".join(label(one) for one in kept.profiles) or "none"
        raise UsageError(
            f"none of the kept profiles of {clean(kept.model)} can be taken now ({have})",
            remedy=f"`infertui profile {clean(kept.model)}` measures them anew.",
        )
    base = _as_kept(resolved, kept)
    return _with(base, kept, chosen, _other_build(base, kept))


def engine_of_kept(model: str) -> str | None:
    """The engine of the profiles that are kept of a model, so that words of its options are understood; None where
    there are none, or of several engines."""
    asked = rooted(Config(model=ModelConfig(id=model))).model.id
    engines = {kept.engine for kept in each_profiles() if kept.model == asked}
    return engines.pop() if len(engines) == 1 else None


def _kept_for(resolved: Resolved) -> tuple[KeptProfiles, Card]:
    """The profiles of the model, in the form that was asked for, of the GPU that there is, and its memory now under
    their ceiling."""
    config = rooted(resolved.config)
    model, revision = config.model.id, config.model.revision
    remedy = f"`infertui profile {clean(model)}` measures them."
    every = each_profiles(broken=lambda error: warn(f"{error.message}; it is left out"))
    named = [kept for kept in every if (kept.model, kept.revision) == (model, revision)]
    if not named:
        raise UsageError(f"no profiles of {clean(model)} are kept", remedy=remedy)
    content = content_of(config)
    same = [kept for kept in named if not kept.content or not content or kept.content == content]
    if not same:
        raise UsageError(f"the profiles of {clean(model)} were measured with other files of that name", remedy=remedy)
    named = same
    for key in ("engine.name", "engine.quantization", "engine.dtype"):
        if resolved.sources.get(key, DEFAULT) != DEFAULT:
            name = key.removeprefix("engine.").replace("name", "engine")
            value = getattr(config.engine, key.removeprefix("engine."))
            others = dict.fromkeys(str(getattr(kept, name)) for kept in named)
            named = [kept for kept in named if getattr(kept, name) == value]
            if not named:
                raise UsageError(
                    f"no profiles of {clean(model)} with {key} = {clean(str(value))} are kept: {', '.join(others)}",
                    remedy=remedy,
                )
    here = [(kept, *_card(_as_kept(resolved, kept), kept.ceiling)) for kept in named]
    fitting = [(kept, card) for kept, gpu, card in here if not gpu or (kept.gpu, kept.gpu_memory) == (gpu, card.total)]
    if not fitting:
        measured = ", ".join(dict.fromkeys(f"{kept.gpu} with {format_bytes(kept.gpu_memory or 0)}" for kept in named))
        now = f"{here[0][1]} with {format_bytes(here[0][2].total or 0)}"
        raise UsageError(
            f"the profiles of {clean(model)} were measured on {clean(measured)}, and this is {clean(now)}",
            remedy=f"`infertui profile {clean(model)}` measures this one.",
        )
    forms = {(kept.engine, kept.quantization, kept.dtype) for kept, _ in fitting}
    plain = [entry for entry in fitting if (entry[0].quantization, entry[0].dtype) == ("auto", "auto")]
    if len(forms) > 1 and len(plain) != 1:
        words = " or ".join(sorted({kept.quantization for kept, _ in fitting}))
        raise UsageError(f"profiles of {clean(model)} are kept in several forms", remedy=f"--quantization {words}")
    # Of several GPUs of the past, where there is none now, the newest says what the CPU does.
    return max(plain if len(forms) > 1 else fitting, key=lambda entry: entry[0].measured)


def _card(config: Config, ceiling: float) -> tuple[str, Card]:
    """The GPU that a run would use, by its name, and its memory; without one no name, and no total."""
    cards = cards_now()
    planned = planned_gpus(config, tuple(card.info for card in cards), choose(config.engine))
    if not planned:
        return "", Card()
    found = next(card for card in cards if card.info is planned[0])
    return found.info.name, Card(found.info.memory_total, found.used or 0, min(1.0, ceiling))


def _as_kept(resolved: Resolved, kept: KeptProfiles) -> Config:
    """The config that was asked for with the engine and the form of the profiles."""
    form: dict[str, FlatValue] = {
        "engine.name": kept.engine, "engine.quantization": kept.quantization, "engine.dtype": kept.dtype,
    }  # fmt: skip
    found = claiming(build(flat_values(resolved.config) | form))
    given = {key for key, source in resolved.sources.items() if source != DEFAULT}
    return _with_options(found, kept, given)


def _with_options(config: Config, kept: KeptProfiles, given: set[str]) -> Config:
    """With the context and the batch of the prefill that were measured, where none is given."""
    table = f"engine.{kept.engine.replace('-', '_')}"
    any_ = next(iter(kept.profiles.values()), Profile(0))
    values: Mapping[str, int | None] = {f"{table}.{name}": getattr(any_, name) for name in _TAKEN}
    taken: dict[str, FlatValue] = {
        key: value for key, value in values.items() if value is not None and key not in given
    }
    return build(flat_values(config) | taken) if taken else config


def _other_build(config: Config, kept: KeptProfiles) -> str:
    """That the engine's library is another one than was measured; empty where it is not, or nobody knows."""
    installed = build_of(config)
    if not kept.build or not installed or kept.build == installed:
        return ""
    return f"measured with {clean(kept.build)}, and this is {installed}"


def _with(base: Config, kept: KeptProfiles, chosen: Chosen, otherwise: str) -> Profiled:
    why = "; ".join((*chosen.why, *([otherwise] if otherwise else [])))
    labels = base.labels | {LABEL: chosen.name} | ({WHY: why} if why else {})
    layers: dict[str, FlatValue] = {layers_key(kept.engine): chosen.profile.n_gpu_layers}
    config = replace(build(flat_values(base) | layers), labels=labels)
    if chosen.cpu:
        config = replace(config, device=replace(config.device, name="cpu"))
    return Profiled(config, kept, chosen, base, otherwise)


def _axes(config: Config) -> tuple[Mapping[str, object], ...]:
    return (config.sweep.grid, config.sweep.zip)


def _name(asked: str) -> ProfileName:
    wanted = "cpu_fallback" if asked == CPU else asked.replace("-", "_")
    return next(name for name in get_args(ProfileName) if name == wanted)


class SteppingDown:
    """Runs a profile, and the next below it for what had no room, until it has or none is left."""

    def __init__(
        self, first: Profiled, variants_of: "Callable[[Config], list[Variant]]", tell: Callable[[str], None]
    ) -> None:
        self._now, self._variants_of, self._tell = first, variants_of, tell
        self._seen, self._last = 0, list["Result"]()
        self._names: set[str] = set()

    def following(self, results: "Sequence[Result]") -> "list[Variant]":
        """What to run after these results: with the next profile those that had no room."""
        latest, self._seen = list(results[self._seen :]), len(results)
        self._last = [one for one in self._last if one.name not in {result.name for result in latest}] + latest
        full = [result for result in latest if result.error and error_kind(result.error.kind) in NO_ROOM]
        below = self._now.below(full[0].error.message if full[0].error else "") if full else None
        if below is None:
            return []
        self._now = below
        self._tell(below.told)
        names = {result.name for result in full}
        variants = self._variants_of(below.config)
        return [variant for variant in variants if variant.name in names or len(variants) == 1]

    def code(self, code: int) -> int:
        """The exit code: what was repeated with another profile counts as that ended."""
        if code != FAILED or not self._last or any(result.state != "finished" for result in self._last):
            return code
        return OK if all(result.verdict.valid for result in self._last) else INVALID
