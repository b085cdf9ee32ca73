"""Profiles by the share of the card and by purpose, and which of them there is room for."""

from pathlib import Path

import pytest
from support.offload_law import MIB, Law

from infertui.analysis.offload.card import Card, parse_ceiling
from infertui.analysis.offload.kept import (
    KeptProfiles,
    Profile,
    ProfileName,
    each_profiles,
    keep_profiles,
    profiles_folder,
)
from infertui.analysis.offload.points import OffloadPoint
from infertui.analysis.offload.profiles import choose_profile, profiles_of, steps_below, wanted_by_size
from infertui.errors import UsageError

GIB = 1 << 30
LAW = Law(23, total_mib=6144)  # 600 + 200 n MiB of 6144: 12 layers are under 50 %, 18 under 70 %, 23 under 85 %


def law_profiles(law: Law = LAW) -> dict[ProfileName, Profile]:
    points = [law.point(layers) for layers in range(law.layers + 1)]
    return profiles_of(points, law.card, n_ctx=0, n_batch=512)


def test_each_band_has_the_fastest_point_in_it() -> None:
    found = law_profiles()
    assert {name: profile.n_gpu_layers for name, profile in found.items()} == {
        "fast": 12, "balanced": 18, "performance": 23, "cpu_fallback": 0, "least_time": 23, "most_tokens": 23,
    }  # fmt: skip
    assert (found["fast"].n_ctx, found["fast"].n_batch) == (0, 512)


def test_a_band_without_a_point_has_no_profile() -> None:
    found = law_profiles(Law(23, total_mib=81920))  # all layers take 6 %
    assert found["fast"].n_gpu_layers == 23
    assert not {"balanced", "performance"} & found.keys()


def test_a_purpose_stays_under_the_ceiling_with_what_others_use() -> None:
    law = Law(23, total_mib=6144, others_mib=2048)
    most = law.best()[0]
    assert most < 23
    assert law_profiles(law)["most_tokens"].n_gpu_layers == most


def test_the_least_energy_need_not_be_the_fastest() -> None:
    points = [
        OffloadPoint(0, throughput=5.0, joules_per_token=9.0),
        OffloadPoint(8, throughput=10.0, joules_per_token=2.0, vram=GIB, vram_share=0.2),
        OffloadPoint(16, throughput=12.0, joules_per_token=3.0, vram=2 * GIB, vram_share=0.4),
    ]
    found = profiles_of(points, Card(5 * GIB), n_ctx=None, n_batch=None)
    assert found["least_energy"].n_gpu_layers == 8
    assert found["most_tokens"].n_gpu_layers == 16
    assert "least_time" not in found, "nobody told the time per token"


@pytest.mark.parametrize(
    ("total_gib", "asked"),
    [
        (None, "cpu_fallback"),
        (3.9, "fast"),
        (4, "balanced"),
        (7.9, "balanced"),
        (8, "performance"),
        (141, "performance"),
    ],
)
def test_the_size_of_the_card_says_what_auto_asks_for(total_gib: float | None, asked: str) -> None:
    assert wanted_by_size(None if total_gib is None else round(total_gib * GIB)) == asked


@pytest.mark.parametrize(
    ("asked", "free_mib", "taken", "cpu"),
    [
        ("performance", 6144, "performance", False),
        ("performance", 5000, "balanced", False),  # 23 layers take 5200 MiB, 18 take 4200
        ("performance", 4100, "fast", False),  # 12 take 3000
        ("performance", 2900, "cpu_fallback", False),
        ("performance", 500, "cpu_fallback", True),  # not even what no layer takes: 600
        ("fast", 6144, "fast", False),
        ("balanced", 3500, "fast", False),
        ("cpu_fallback", 6144, "cpu_fallback", False),
        ("most_tokens", 5000, "balanced", False),
    ],
)  # fmt: skip
def test_it_steps_down_to_what_is_free(asked: ProfileName, free_mib: int, taken: str, cpu: bool) -> None:
    chosen = choose_profile(law_profiles(), asked, Card(6144 * MIB, (6144 - free_mib) * MIB, 1.0))
    assert chosen is not None
    assert (chosen.name, chosen.cpu) == (taken, cpu)
    assert bool(chosen.why) == (taken != asked)


def test_without_a_gpu_it_is_that_of_the_cpu() -> None:
    chosen = choose_profile(law_profiles(), "performance", Card())
    assert chosen is not None
    assert (chosen.name, chosen.cpu) == ("cpu_fallback", True)
    assert choose_profile({"fast": Profile(9)}, "fast", Card()) is None


def test_it_steps_down_to_what_is_under_the_ceiling_with_what_others_use() -> None:
    profiles: dict[ProfileName, Profile] = {"performance": Profile(9, vram=600), "fast": Profile(4, vram=300)}

    def taken(others: int, ceiling: float) -> tuple[str, tuple[str, ...]] | None:
        found = choose_profile(profiles, "performance", Card(1000, others, ceiling))
        return (found.name, found.why) if found else None

    assert taken(200, 0.8) == ("performance", ())
    low = taken(201, 0.8)
    assert low is not None
    assert low[0] == "fast"
    assert "are free under the ceiling of 80%" in low[1][0]
    assert taken(501, 0.8) is None, "there is no profile of the CPU"


def test_what_a_purpose_is_stepped_down_to_has_fewer_layers() -> None:
    assert steps_below(law_profiles(), "most_tokens") == ("balanced", "fast", "cpu_fallback")


def test_they_are_kept_by_model_form_and_gpu(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    first = KeptProfiles("synthetic:nano", "llama-cpp", {"fast": Profile(9, throughput=1.5)}, gpu="A", gpu_memory=GIB)
    other = KeptProfiles("synthetic:nano", "llama-cpp", {"fast": Profile(8)}, quantization="q4_0", gpu="A")
    path = keep_profiles(first, environ)
    keep_profiles(other, environ)
    assert keep_profiles(first, environ) == path, "the same ones are put in their place"
    assert sorted(each_profiles(environ), key=lambda kept: kept.quantization) == [first, other]
    (profiles_folder(environ) / "a.toml").write_text("model = 3")
    (profiles_folder(environ) / "b.toml").mkdir()
    (profiles_folder(environ) / "c.toml").write_bytes(b"\xff\x00")
    told: list[str] = []
    found = list(each_profiles(environ, broken=lambda error: told.append(error.message)))
    assert sorted(kept.quantization for kept in found) == ["auto", "q4_0"]
    assert ["a.toml holds no profiles" in told[0], "b.toml" in told[1], "c.toml" in told[2]] == [True, True, True]


@pytest.mark.parametrize(("text", "share"), [("85%", 0.85), ("0.85", 0.85), ("85", 0.85), ("0.5%", 0.005), ("100%", 1)])
def test_a_ceiling_is_a_share_or_percent(text: str, share: float) -> None:
    assert parse_ceiling(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["1.5", "2", "8.5", "9.99"])
def test_what_may_be_percent_or_not_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"Write 85% or 0\.85"):
        parse_ceiling(text)


@pytest.mark.parametrize("text", ["", "0", "-1%", "101%", "nan", "much"])
def test_a_ceiling_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--vram-ceiling"):
        parse_ceiling(text)
