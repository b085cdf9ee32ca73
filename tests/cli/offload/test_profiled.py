"""`infertui run --profile` as it is typed: which kept profile is taken by the memory of the stub's GPU, and marked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.offload_law import MIB, Law
from support.runs import clean_environment, infertui
from typer.testing import CliRunner

from infertui import paths
from infertui.analysis.offload.kept import KeptProfiles, Profile, keep_profiles
from infertui.analysis.offload.profiles import profiles_of
from infertui.cli.main import app
from infertui.errors import UsageError
from infertui.models.content import content_mark
from infertui.models.resolve import resolve

LAW = Law(23, total_mib=12288, layer_mib=400)  # FAST 13 layers, BALANCED 20, PERFORMANCE 23: 5800, 8600, 9800 MiB
Typed = Callable[..., tuple[str, BaseException | None]]
SETTINGS = [
    f"--set={key}={value}"
    for key, value in {
        "engine.simulator.layers": 23, "engine.simulator.gpu_mib": 600, "engine.simulator.gpu_layer_mib": 400,
        "engine.simulator.virtual_time": "true", "measurement.warmup": 0, "measurement.iterations": 3,
        "workload.output_len": 2,
    }.items()
]  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A home in which profiles of the law are kept."""
    points = [LAW.point(layers) for layers in range(24)]
    found = profiles_of(points, LAW.card, n_ctx=None, n_batch=None)
    profiles = KeptProfiles(
        "synthetic:nano", "simulator", found, gpu="NVIDIA Stub", gpu_memory=LAW.total_mib * MIB, layers=23
    )
    keep_profiles(profiles, {"XDG_CONFIG_HOME": str(tmp_path)})
    return tmp_path


@pytest.fixture
def typed(stub_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command in this process, with this home and so many MiB in use on the card: what it prints, its error."""

    def type_it(home: Path, used_mib: int, *words: str) -> tuple[str, BaseException | None]:
        stub_settings(total_mib=LAW.total_mib, used_mib=used_mib)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
        done = CliRunner().invoke(app, list(words))
        return done.output, done.exception

    return type_it


def environment(home: Path, stub: Path, used_mib: int = 0, total_mib: int = LAW.total_mib) -> dict[str, str]:
    return clean_environment(
        LD_LIBRARY_PATH=str(stub), NVML_STUB_TOTAL_MIB=str(total_mib), NVML_STUB_USED_MIB=str(used_mib),
        NVML_STUB_THROTTLE="1", XDG_CONFIG_HOME=str(home),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "used_mib", "said"),
    [
        ("auto", 0, "profile PERFORMANCE, 23 of 23 layers"),
        ("auto", 600, "profile PERFORMANCE, 23 of 23 layers"),
        ("auto", 700, "BALANCED, 20 of 23 layers on NVIDIA Stub: PERFORMANCE takes 9.6 GiB, and 9.5"),
        ("auto", 3000, "FAST, 13 of 23 layers on NVIDIA Stub: PERFORMANCE takes 9.6 GiB, and 9.1 GiB are"),
        ("fast", 0, "profile FAST, 13 of 23 layers"),
        ("performance", 4600, "profile FAST, 13 of 23 layers"),
        ("performance", 5000, "profile CPU_FALLBACK, 0 of 23 layers"),
        ("cpu", 0, "profile CPU_FALLBACK, 0 of 23 layers"),
        ("auto", 12000, "profile CPU_FALLBACK, 0 of 23 layers on NVIDIA Stub, without the GPU"),
        ("most-tokens", 0, "profile most tokens, 23 of 23 layers"),
    ],
)  # fmt: skip
def test_it_is_chosen_by_what_is_free(typed: Typed, kept: Path, asked: str, used_mib: int, said: str) -> None:
    output, error = typed(kept, used_mib, "run", "synthetic:nano", "--profile", asked, *SETTINGS, "--dry-run")
    assert error is None
    assert said in output


def test_what_has_no_room_is_run_with_the_next_below_and_marked(kept: Path, nvml_stub: Path) -> None:
    done = infertui(
        "run", "--model", "synthetic:nano", "--profile", "performance", *SETTINGS,
        "--set", "engine.simulator.gpu_free_mib=6000", "--json", "--ui", "none",
        cwd=kept, environment=environment(kept, nvml_stub),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [run["state"] for run in runs] == ["failed", "failed", "finished"]
    assert [run["config"]["labels"]["profile"] for run in runs] == ["performance", "balanced", "fast"]
    assert runs[-1]["loaded"]["offloaded_layers"] == "13 of 23"
    assert "BALANCED found no room" in runs[-1]["config"]["labels"]["profile_why"]
    assert "profile FAST, 13 of 23 layers" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("synthetic:tinyllama-1.1b", "--profile", "auto"), "no profiles of synthetic:tinyllama-1.1b are kept"),
        (("synthetic:nano", "--profile", "quick"), "there is no profile 'quick'"),
        (("synthetic:nano", "--profile", "auto", "--engine", "llama-cpp"), "with engine.name = llama-cpp are kept"),
        (
            ("synthetic:nano", "--profile", "auto", "--set", "engine.simulator.n_gpu_layers=3"),
            "engine.simulator.n_gpu_layers is given as well",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    typed: Typed, kept: Path, arguments: tuple[str, ...], said: str
) -> None:
    _, error = typed(kept, 0, "run", *arguments)
    assert isinstance(error, UsageError)
    assert said in str(error)


def test_profiles_of_another_card_are_not_taken(typed: Typed, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVML_STUB_NAME", "NVIDIA Other")
    _, error = typed(kept, 0, "run", "synthetic:nano", "--profile", "auto", *SETTINGS, "--dry-run")
    assert "were measured on NVIDIA Stub with 12.0 GiB, and this is NVIDIA Other with 12.0 GiB" in str(error)
    assert "infertui profile synthetic:nano" in str(error)


def test_a_broken_file_is_left_out_and_told(typed: Typed, kept: Path) -> None:
    (kept / "infertui" / "profiles" / "a.toml").write_text("model = 3")
    for words in (("run", "synthetic:nano", "--profile", "fast", *SETTINGS, "--dry-run"), ("profile", "--kept")):
        output, error = typed(kept, 0, *words)
        assert error is None
        assert "a.toml holds no profiles" in output
        assert "FAST" in output


def test_profiles_of_other_files_of_that_name_are_not_taken(typed: Typed, tmp_path: Path) -> None:
    model = tmp_path / "model.json"
    shipped = (paths.data() / "models" / "nano" / "config.json").read_text()
    model.write_text(shipped)
    found = profiles_of([LAW.point(0), LAW.point(13)], LAW.card, n_ctx=None, n_batch=None)
    name = f"synthetic:{model}"
    kept = KeptProfiles(
        name, "simulator", found, gpu="NVIDIA Stub", gpu_memory=LAW.total_mib * MIB, layers=23,
        content=content_mark(resolve(name)),
    )  # fmt: skip
    keep_profiles(kept, {"XDG_CONFIG_HOME": str(tmp_path)})
    command = ("run", name, "--profile", "fast", *SETTINGS, "--dry-run")
    _, error = typed(tmp_path, 0, *command)
    assert error is None
    model.write_text(shipped.replace("{", '{"changed": 1,', 1))
    _, error = typed(tmp_path, 0, *command)
    assert "were measured with other files of that name" in str(error)


def test_kept_profiles_are_listed(typed: Typed, kept: Path) -> None:
    listed, _ = typed(kept, 0, "profile", "--kept")
    assert "synthetic:nano with simulator on NVIDIA Stub with 12.0 GiB" in listed
    assert "PERFORMANCE" in listed
    nothing, _ = typed(kept / "no", 0, "profile", "--kept")
    assert "none are kept" in nothing


def test_of_several_forms_one_has_to_be_named_and_the_engine_need_not(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    for form in ("q4_0", "q8_0"):
        kept = KeptProfiles(
            "synthetic:nano", "llama-cpp", {"cpu_fallback": Profile(0)}, quantization=form, gpu="NVIDIA Stub", layers=5
        )
        keep_profiles(kept, {"XDG_CONFIG_HOME": str(tmp_path)})
    command = ("run", "--model", "synthetic:nano", "--profile", "cpu", "--dry-run")
    _, error = typed(tmp_path, 0, *command)
    assert "--quantization q4_0 or q8_0" in str(error)
    output, error = typed(tmp_path, 0, *command, "--quantization", "q8_0")
    assert error is None
    assert "profile CPU_FALLBACK, 0 of 5 layers" in output


def test_profiles_of_another_build_are_taken_and_that_is_told(typed: Typed, tmp_path: Path) -> None:
    points = [LAW.point(layers) for layers in (0, 13)]
    found = profiles_of(points, LAW.card, n_ctx=None, n_batch=None)
    kept = KeptProfiles(
        "synthetic:nano", "simulator", found, gpu="NVIDIA Stub", gpu_memory=LAW.total_mib * MIB, layers=23,
        build="infertui 0.0.0",
    )  # fmt: skip
    keep_profiles(kept, {"XDG_CONFIG_HOME": str(tmp_path)})
    output, error = typed(tmp_path, 0, "run", "synthetic:nano", "--profile", "fast", *SETTINGS, "--dry-run")
    assert error is None
    assert "measured with infertui 0.0.0, and this is infertui" in output
    listed, _ = typed(tmp_path, 0, "profile", "--kept")
    assert "with infertui 0.0.0" in listed
