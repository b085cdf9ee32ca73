"""What is known beforehand of a run's device and model, and the shares of the limits that follow from it."""

import contextlib

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.limits import derive
from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.measure.roofline import DevicePeaks
from infertui.models.resolve import resolve
from infertui.models.shapes import ModelShape
from infertui.results.peaks import find_peaks, read_peaks
from infertui.results.result import Fingerprint, Result
from infertui.targets.engine.base import Loaded


class KnownLimits(Struct, frozen=True):
    """The device as it was calibrated, and the model's shape; None is not known."""

    ceilings: DevicePeaks | None = None
    shape: ModelShape | None = None


def look_up(config: Config, loaded: Loaded, marks: Fingerprint) -> KnownLimits:
    """Read both from files. Nothing that is wrong with these is worth a run: what cannot be read is not known."""
    if loaded.engine == "simulator":
        return KnownLimits()
    ceilings: DevicePeaks | None = None
    shape: ModelShape | None = None
    with contextlib.suppress(InfertuiError, OSError):
        entries = read_peaks()
        if loaded.device == "cpu":
            name = marks.host.cpu_model or "CPU"
            ceilings = find_peaks(entries, name=name, threads=loaded.threads)
        else:
            ceilings = find_peaks(
                entries, name=loaded.device_name, uuid=loaded.device_uuid or "unknown", driver=marks.driver
            )
    with contextlib.suppress(InfertuiError, OSError):
        shape = resolve(config.model.id, config.model.revision).shape
    return KnownLimits(ceilings, shape)


def with_limits(result: Result, known: KnownLimits) -> Result:
    """The result with its device's ceilings and its shares of them."""
    result = replace(result, ceilings=known.ceilings)
    return replace(result, limits=derive(result, shape=known.shape))
