"""CUDA_VISIBLE_DEVICES mapped to devices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import ConfigError
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.visible import as_cuda_value, by_uuid, visible, visible_from_environment

GPUS = (
    GpuInfo(0, "GPU-aaaa1111-0000-4000-8000-000000000000"),
    GpuInfo(1, "GPU-aaaa2222-0000-4000-8000-000000000000", mig=False),
    GpuInfo(2, "GPU-bbbb3333-0000-4000-8000-000000000000", mig=True),
    GpuInfo(2, "MIG-cccc4444-0000-5000-8000-000000000000", mig=False, mig_index=0, parent="GPU-bbbb3333"),
    GpuInfo(2, "MIG-cccc5555-0000-5000-8000-000000000000", mig=False, mig_index=2, parent="GPU-bbbb3333"),
)
FIRST, SECOND, DIVIDED, INSTANCE, OTHER_INSTANCE = GPUS


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        ("", (FIRST, SECOND, INSTANCE, OTHER_INSTANCE)),
        ("  ", (FIRST, SECOND, INSTANCE, OTHER_INSTANCE)),
        ("0", (FIRST,)),
        ("1,0", (SECOND, FIRST)),
        (" 1 , 0 ", (SECOND, FIRST)),
        ("GPU-aaaa1", (FIRST,)),
        ("gpu-AAAA2222", (SECOND,)),
        ("1,GPU-aaaa1111-0000-4000-8000-000000000000", (SECOND, FIRST)),
        ("MIG-cccc5555-0000-5000-8000-000000000000", (OTHER_INSTANCE,)),
        ("-1", ()),
        ("NoDevFiles", ()),
    ],
)
def test_grammar(spec: str, chosen: tuple[GpuInfo, ...]) -> None:
    assert visible(spec, GPUS) == chosen


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("3", 'there is no GPU "3"'),
        ("0,7,1", 'there is no GPU "7"'),
        ("GPU-aaaa", "fits several devices"),
        ("GPU-ffff", 'there is no GPU "GPU-ffff"'),
        ("0,0", "a second time"),
        ("0,GPU-aaaa1111", "a second time"),
        ("0,", "an entry of the list is empty"),
        ("0,-1", "neither an index nor a UUID"),
        ("all", "neither an index nor a UUID"),
        ("0x1", "neither an index nor a UUID"),
        ("²", "neither an index nor a UUID"),
        ("2", "divided into MIG instances"),
        ("GPU-bbbb", "divided into MIG instances"),
        ("MIG-cccc4,MIG-cccc5", "beside other devices"),
        ("0,MIG-cccc4", "beside other devices"),
        ("9" * 5000, "there is no GPU"),
        ("\033[31mred", "neither an index nor a UUID"),
    ],
)
def test_what_cuda_would_cut_off_silently_is_an_error(spec: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        visible(spec, GPUS)
    assert caught.value.path == "device.visible"
    assert "\033" not in str(caught.value)


def test_without_a_gpu() -> None:
    assert visible("", ()) == ()
    with pytest.raises(ConfigError, match="no NVIDIA GPU is usable"):
        visible("0", ())


def test_environment() -> None:
    assert visible_from_environment({}, GPUS) == visible("", GPUS)
    assert visible_from_environment({"CUDA_VISIBLE_DEVICES": ""}, GPUS) == ()
    assert visible_from_environment({"CUDA_VISIBLE_DEVICES": "1"}, GPUS) == (SECOND,)
    with pytest.raises(ConfigError, match=r"^CUDA_VISIBLE_DEVICES: "):
        visible_from_environment({"CUDA_VISIBLE_DEVICES": "5"}, GPUS)


def test_by_uuid() -> None:
    assert by_uuid("aaaa2222-0000-4000-8000-000000000000", GPUS) == SECOND
    assert by_uuid("GPU-AAAA2222-0000-4000-8000-000000000000", GPUS) == SECOND
    assert by_uuid(INSTANCE.uuid, GPUS) == INSTANCE
    assert by_uuid("GPU-aaaa", GPUS) is None
    assert by_uuid("", GPUS) is None


@given(st.lists(st.sampled_from([FIRST, SECOND]), unique=True))
def test_what_goes_to_cuda_comes_back(chosen: list[GpuInfo]) -> None:
    assert visible(as_cuda_value(chosen), GPUS) == tuple(chosen)


@given(st.text())
def test_any_text_gives_devices_or_a_config_error(spec: str) -> None:
    try:
        chosen = visible(spec, GPUS)
    except ConfigError:
        return
    assert len(set(chosen)) == len(chosen)
    assert DIVIDED not in chosen
