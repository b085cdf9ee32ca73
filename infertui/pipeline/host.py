"""What a pipeline asks of whoever runs it, and how it is ended."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError
from infertui.report.produce import ReportOrder, WrittenReport
from infertui.results.result import Result
from infertui.results.runs import Store


class Ran(Struct, frozen=True):
    """What came of runs: their results, and whether somebody ended them."""

    results: tuple[Result, ...]
    interrupted: bool = False


class Host(Protocol):
    """What whoever runs a pipeline does for it. Raises KeyboardInterrupt where a pull or build is interrupted."""

    def tell(self, text: str) -> None:
        """Show a line."""
        ...

    def pull(self, model: str, revision: str) -> None:
        """Bring a model here from the hub. Raises ModelError and UsageError."""
        ...

    def build(self, config: Config) -> None:
        """Build the engine that a config runs, unless it is there. Raises EngineError."""
        ...

    def measure(self, variants: Sequence[Variant], *, first: int, total: int) -> Ran:
        """Measure these in their order: number `first`, from 1, and further ones of `total`. Raises InfertuiError."""
        ...

    def report(self, order: ReportOrder, results: Sequence[Result], store: Store) -> WrittenReport:
        """Write a report; without charts where they cannot be drawn. Raises StoreError."""
        ...


class InterruptedPipelineError(InfertuiError):
    """Somebody ended it: what was measured and what is done is kept."""

    exit_code = 130
    kind = "interrupted"
