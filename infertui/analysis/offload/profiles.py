"""Profiles: measured points that are kept by what they are for, and which of them a GPU has room for now.

By how much of the card they take: FAST less than half, BALANCED from half to 70 %, PERFORMANCE from there to 85 %, and
CPU_FALLBACK, which has no layer there. By purpose: least time per token, most tokens a second, least energy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.kept import Profile, ProfileName
from infertui.analysis.offload.points import OffloadPoint, believed

BandName = Literal["fast", "balanced", "performance", "cpu_fallback"]
Purpose = Literal["least_time", "most_tokens", "least_energy"]
_SMALL, _MIDDLE = 4 << 30, 8 << 30


class Band(Struct, frozen=True):
    """The shares of a card that a profile takes: from `low`, and less than `high`."""

    name: BandName
    low: float
    high: float
    recommended_for: str

    def holds(self, share: float | None) -> bool:
        """Whether a point that takes this share belongs to it."""
        return share is not None and self.low <= share < self.high


BANDS = (
    Band("fast", 0.0, 0.5, "room for other programs and longer contexts"),
    Band("balanced", 0.5, 0.7, "daily use beside a desktop"),
    Band("performance", 0.7, 0.85, "a GPU of its own"),
)
_FALLBACK_FOR = "a GPU that is full, or none"
LADDER: tuple[BandName, ...] = ("performance", "balanced", "fast", "cpu_fallback")
"""From the most of the card to the least: how a profile is stepped down."""
_PURPOSES: dict[Purpose, tuple[str, Callable[[OffloadPoint], float | None]]] = {
    "least_time": ("one reader who waits: least time per token", lambda point: _negative(point.seconds_per_token)),
    "most_tokens": ("many requests: most tokens a second", lambda point: point.throughput),
    "least_energy": ("long unattended work: least energy per token", lambda point: _negative(point.joules_per_token)),
}


def profiles_of(
    points: Sequence[OffloadPoint], card: Card, *, n_ctx: int | None, n_batch: int | None, positions: int | None = None
) -> dict[ProfileName, Profile]:
    """The profiles that the points give: in each band the fastest, and for each purpose the best, within the ceiling.
    Of a purpose what others use now counts, too. Points of invalid runs are taken where there is no other.

    A band without a measured point has no profile.
    """

    def profile(point: OffloadPoint, recommended_for: str) -> Profile:
        return Profile(
            point.layers, recommended_for, n_ctx, n_batch, positions, point.throughput, point.low, point.high,
            point.seconds_per_token, point.joules_per_token, point.vram, point.vram_share, point.run,
            point.doubts[0] if point.doubts else "",
        )  # fmt: skip

    good = [point for point in points if point.measured]
    found: dict[ProfileName, Profile] = {}
    for band in BANDS:
        inside = [point for point in good if band.holds(point.vram_share) and card.allows(point.vram_share)]
        within = believed([point for point in inside if point.layers > 0])
        if within:
            best = max(within, key=lambda point: point.throughput or 0.0)
            found[band.name] = profile(best, band.recommended_for)
    if alone := [point for point in good if point.layers == 0]:
        found["cpu_fallback"] = profile(alone[0], _FALLBACK_FOR)
    allowed = [point for point in good if point.vram is None or card.fits(point.vram)]
    for name, (recommended_for, worth) in _PURPOSES.items():
        able = believed([point for point in allowed if worth(point) is not None])
        rated = [(value, point) for point in able if (value := worth(point)) is not None]
        if rated:
            found[name] = profile(max(rated, key=lambda entry: entry[0])[1], recommended_for)
    return found


class Chosen(Struct, frozen=True):
    """Which profile to run with. `why` says what was passed over, and why; `cpu`: leave the GPU alone."""

    name: ProfileName
    profile: Profile
    why: tuple[str, ...] = ()
    cpu: bool = False


def wanted_by_size(total: int | None) -> BandName:
    """What `auto` asks for on a card with so much memory."""
    if total is None:
        return "cpu_fallback"
    return "fast" if total < _SMALL else "balanced" if total < _MIDDLE else "performance"


def choose_profile(profiles: Mapping[ProfileName, Profile], asked: ProfileName, card: Card) -> Chosen | None:
    """The profile that was asked for, or the first below it that there is and that fits into what is free of the card
    under its ceiling.

    None where no profile is left, not even of the CPU. Without a GPU, total None, only that of the CPU is taken.
    """
    why: list[str] = []
    for name in (asked, *steps_below(profiles, asked)):
        profile = profiles.get(name)
        if profile is None:
            why.append(f"no point was measured for {label(name)}")
        elif name == "cpu_fallback":
            full = card.total is None or (profile.vram is not None and not card.fits(profile.vram))
            return Chosen(name, profile, tuple(why), cpu=full)
        elif card.total is None:
            why.append(f"{label(name)} needs a GPU, and none is found")
        elif profile.vram is not None and not card.fits(profile.vram):
            free = card.total - card.others
            under = "" if profile.vram > free else f" under the ceiling of {100 * card.ceiling:.3g}%"
            room = free if not under else max(0.0, card.ceiling * card.total - card.others)
            why.append(f"{label(name)} takes {_gib(profile.vram)}, and {_gib(room)} are free{under}")
        else:
            return Chosen(name, profile, tuple(why))
    return None


def steps_below(profiles: Mapping[ProfileName, Profile], name: ProfileName) -> tuple[BandName, ...]:
    """What a profile is stepped down to, in order: the bands below it; of one by purpose those with fewer layers."""
    if name in LADDER:
        return LADDER[LADDER.index(name) + 1 :]
    layers = profiles[name].n_gpu_layers if name in profiles else 0
    return tuple(
        band for band in LADDER if band == "cpu_fallback" or (band in profiles and profiles[band].n_gpu_layers < layers)
    )


def label(name: str) -> str:
    """As people read it: FAST, CPU_FALLBACK; purposes in words."""
    return name.upper() if name in LADDER else name.replace("_", " ")


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"
