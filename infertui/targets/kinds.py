"""The kinds of targets: by what a worker is asked to load, how that is made and timed."""

from collections.abc import Callable
from typing import Any, NamedTuple

from infertui.measure.clock import Clock
from infertui.targets.base import Target, TargetKind
from infertui.targets.engine.base import LoadRequest
from infertui.targets.engine.target import clock_of, engine_target


class KnownKind(NamedTuple):
    """One kind of target. `clock` makes what its runs are timed by."""

    kind: TargetKind
    request: type[Any]
    clock: Callable[[Any], Clock]
    create: Callable[[Any, Clock], Target]


KINDS = [KnownKind("engine", LoadRequest, clock_of, engine_target)]


def kind_of(request: object) -> KnownKind:
    """The kind that takes a request. Raises TypeError for what no kind takes."""
    for kind in KINDS:
        if isinstance(request, kind.request):
            return kind
    raise TypeError(f"no kind of target takes a {type(request).__name__}")
