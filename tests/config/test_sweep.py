import pytest

from infertui.config.parse import decode
from infertui.config.schema import Config, SweepConfig
from infertui.config.sweep import expand, short_name
from infertui.errors import ConfigError


def _sweep(grid: dict[str, object] | None = None, zip_: dict[str, object] | None = None, **sections: object) -> Config:
    return decode({**sections, "sweep": {"grid": grid or {}, "zip": zip_ or {}}})


def test_without_a_sweep_there_is_the_config_itself() -> None:
    (variant,) = expand(Config())
    assert (variant.name, variant.config, variant.values) == ("", Config(), {})


def test_the_grid_is_every_combination_times_the_zip_group() -> None:
    config = _sweep(
        {"workload.batch_size": "1,4", "engine.dtype": ["fp16", "fp32"]},
        {"workload.input_len": [128, 512], "workload.output_len": "32,64"},
        model={"id": "a/b"},
    )
    variants = expand(config)
    assert [variant.name for variant in variants] == [
        "bs=1 dtype=float16 isl=128 osl=32",
        "bs=1 dtype=float16 isl=512 osl=64",
        "bs=1 dtype=float32 isl=128 osl=32",
        "bs=1 dtype=float32 isl=512 osl=64",
        "bs=4 dtype=float16 isl=128 osl=32",
        "bs=4 dtype=float16 isl=512 osl=64",
        "bs=4 dtype=float32 isl=128 osl=32",
        "bs=4 dtype=float32 isl=512 osl=64",
    ]
    last = variants[-1]
    assert (last.config.workload.batch_size, last.config.workload.output_len) == (4, 64)
    assert last.config.engine.dtype == "float32"
    assert last.config.model.id == "a/b"
    assert last.config.sweep == SweepConfig()
    assert last.values["workload.input_len"] == 512


@pytest.mark.parametrize(
    ("axis", "names"),
    [
        ({"model.id": ["synthetic:nano", "org/llama-1b"]}, ["model=nano", "model=llama-1b"]),
        ({"model.id": ["a/x", "b/x"]}, ["model=a/x", "model=b/x"]),
        ({"workload.temperature": "0.5-1+0.25"}, ["temp=0.5", "temp=0.75", "temp=1"]),
        ({"device.force": "yes,no"}, ["force=on", "force=off"]),
        ({"measurement.warmup": "auto,2"}, ["warmup=auto", "warmup=2"]),
        ({"model.seed": [1], "workload.seed": [2]}, ["model.seed=1 seed=2"]),
        ({"labels.note": ["\x1b[2Ja", "\x1b[2Ja "]}, ["note=a", "note=a #2"]),
        ({"model.revision": ["x" * 50 + "1", "x" * 50 + "2"]}, [f"revision={'x' * 39}…", f"revision={'x' * 39}… #2"]),
    ],
)
def test_names_are_short_readable_and_different(axis: dict[str, object], names: list[str]) -> None:
    assert [variant.name for variant in expand(_sweep(axis))] == names


def test_labels_can_be_an_axis_and_stay_otherwise() -> None:
    variants = expand(_sweep({"labels.round": "1,2"}, labels={"owner": "me"}))
    assert [variant.config.labels for variant in variants] == [
        {"owner": "me", "round": "1"},
        {"owner": "me", "round": "2"},
    ]


def test_a_variant_that_contradicts_itself_is_named() -> None:
    config = _sweep({"workload.prompts": "short,random", "workload.batch_size": [2]})
    with pytest.raises(ConfigError, match="input_len") as caught:
        expand(config)
    assert "the sweep at prompts=random bs=2" in str(caught.value)


def test_short_names_of_the_field() -> None:
    keys = [
        "workload.batch_size",
        "workload.input_len",
        "workload.output_len",
        "engine.dtype",
        "engine.simulator.step_ms",
    ]
    assert [short_name(key) for key in keys] == ["bs", "isl", "osl", "dtype", "step_ms"]
