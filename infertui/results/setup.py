"""What was measured, and how it was asked for: of a run of infertui by its config, of an imported one by its file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from infertui.config.endpoint import LoadConfig
from infertui.errors import ConfigError
from infertui.integers import Whole
from infertui.load.levels import in_flight_asked, last_level, rate_asked
from infertui.targets.base import TargetName

if TYPE_CHECKING:
    from infertui.config.schema import Config

Value = str | Whole | float | bool
JUDGED = frozenset({"validity", "quality", "labels", "sweep"})
"""Tables of a config that say nothing of what was measured: a file of another program is not asked for them."""


class Setup:
    """The facts of a run, by the keys of a config and the names that views read them by. None is not known.

    Everything is known of a run that has a `config`, or of one of which a few keys were read; of an imported one `told`
    holds what its file tells, by key.
    """

    __slots__ = ("_config", "_told")

    def __init__(self, config: Struct | None, told: Mapping[str, Value]) -> None:
        self._config = config
        self._told = told

    def get(self, key: str) -> Value | tuple[object, ...] | None:
        """The value of a key such as `workload.batch_size` or `labels.site`."""
        if self._config is None:
            return self._told.get(key)
        if key.startswith("labels."):
            return self.labels.get(key.removeprefix("labels."))
        found: object = self._config
        for name in key.split("."):
            found = getattr(found, name)
        return found  # type: ignore[return-value]

    def all(self) -> dict[str, object]:
        """Every key that is known, with its value."""
        if self._config is None:
            return dict(self._told)
        from infertui.config.parse import flat_values

        return dict(flat_values(cast("Config", self._config)))

    @property
    def changed(self) -> tuple[bool, Mapping[str, object]]:
        """Whether all other keys are as by default, and those that are not; of an imported run what its file tells."""
        if self._config is None:
            return False, self._told
        from infertui.results.config_keys import changed_keys

        return True, changed_keys(cast("Config", self._config))

    @property
    def target(self) -> TargetName:
        """What was asked to answer."""
        if self.is_endpoint:
            return TargetName("endpoint", self._text("target.url"))
        return TargetName("engine", self._text("engine.name"))

    @property
    def is_endpoint(self) -> bool:
        """Whether a server behind a URL was asked."""
        return self.get("target.kind") == "endpoint"

    @property
    def model(self) -> str | None:
        """The id of the model, or the name of its file."""
        served_here = self.get("target.serve") not in (None, "none")
        if self.is_endpoint and not served_here:
            return self._text("target.model") or None
        return self._text("model.id")

    @property
    def revision(self) -> str | None:
        """Of the model."""
        return self._text("model.revision")

    @property
    def batch_size(self) -> int | None:
        """Sequences generated together; an endpoint batches as it likes."""
        return None if self.is_endpoint else self._whole("workload.batch_size")

    @property
    def concurrency(self) -> int | None:
        """Requests in flight that an endpoint was asked for in the end, or the most; None: any number, or not known."""
        load = self._load
        return None if load is None else in_flight_asked(load)

    @property
    def request_rate(self) -> float | None:
        """Requests a second asked of an endpoint in the end; None: of a closed loop, a trace, or not known."""
        load = self._load
        return None if load is None else rate_asked(load)

    @property
    def _load(self) -> LoadConfig | None:
        """As far as it says how much was asked for; None of an engine, and where nothing is known."""
        together, rate = self._whole("load.concurrency"), self.get("load.request_rate")
        if not (self.is_endpoint if self._config is not None else together or rate):
            return None
        told = LoadConfig(
            concurrency=together or 0,
            request_rate=float(rate) if isinstance(rate, int | float) else 0.0,
            trace=self._text("load.trace") or "",
            steps=self._text("load.steps") or "",
        )
        try:
            last_level(told)
        except ConfigError:  # a file may say anything
            return None
        return told

    @property
    def input_len(self) -> int | None:
        """Prompt tokens of a request; 0: as the prompts come."""
        return self._whole("workload.input_len")

    @property
    def output_len(self) -> int | None:
        """Tokens generated for a request."""
        return self._whole("workload.output_len")

    @property
    def prompts(self) -> str | None:
        """The file of the prompts, else the name of the bundled ones."""
        return self._text("workload.prompts_file") or self._text("workload.prompts")

    @property
    def temperature(self) -> float | None:
        """0 is greedy."""
        found = self.get("workload.temperature")
        return float(found) if isinstance(found, int | float) else None

    @property
    def mode(self) -> str | None:
        """How steps were to be executed."""
        return self._text("engine.mode")

    @property
    def quantization(self) -> str | None:
        """The format of the weights that was asked for."""
        return self._text("engine.quantization")

    @property
    def speculation(self) -> str | None:
        """How tokens were to be drafted."""
        return self._text("engine.speculation")

    @property
    def tensor_parallel(self) -> int | None:
        """GPUs over which every layer was to be divided."""
        return self._whole("engine.tensor_parallel")

    @property
    def device(self) -> str | None:
        """The device that was asked for."""
        return self._text("device.name")

    @property
    def labels(self) -> dict[str, str]:
        """Notes of whoever measured or imported it."""
        if self._config is not None:
            return cast("Config", self._config).labels
        prefix = "labels."
        return {key.removeprefix(prefix): str(value) for key, value in self._told.items() if key.startswith(prefix)}

    def _text(self, key: str) -> str | None:
        found = self.get(key)
        return found if isinstance(found, str) else None

    def _whole(self, key: str) -> int | None:
        found = self.get(key)
        return found if isinstance(found, int) else None
