"""The library's own compilation of the decode step: how it is asked for, and what came of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infertui.errors import EngineError
from infertui.targets.engine.executed import Compiled, Graphs, Replays, source
from infertui.text import one_line

if TYPE_CHECKING:
    import torch

_TUNINGS: dict[str, dict[str, Any]] = {
    "none": {"mode": "reduce-overhead"},
    "coordinate-descent": {
        "mode": None,
        "options": {"triton.cudagraphs": True, "coordinate_descent_tuning": True},
    },
    "max-autotune": {"mode": "max-autotune"},
}
"""What `torch.compile` is told. The first is the library's default; CUDA graphs are part of all three."""


class Compilation:
    """What `generate` is given to compile with, and proof of what it did."""

    def __init__(self, tuning: str, device: "torch.device") -> None:
        import torch
        import transformers

        self._device = device
        # Code that another model compiled counts against the limit of recompilations, and in the statistics.
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        # Past the limit, PyTorch would quietly go on uncompiled.
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        torch._dynamo.config.suppress_errors = False  # as it would after a failure
        self.config = transformers.CompileConfig(**_TUNINGS[tuning])
        if device.type == "cpu":
            self.config._compile_all_devices = True  # a CPU is left out otherwise
        self._compiled: Callable[..., Any] | None = None
        self._calls = 0
        self._replays = Replays() if device.type == "cuda" else None

    def watched(self, get_compiled: Callable[[Any], Callable[..., Any]]) -> Callable[[Any], Callable[..., Any]]:
        """In place of `get_compiled_call`: counts the calls of what the library compiled."""

        def get(config: Any) -> Callable[..., Any]:
            self._compiled = compiled = get_compiled(config)

            def call(*arguments: Any, **options: Any) -> Any:
                self._calls += 1
                return compiled(*arguments, **options)

            return call

        return get

    def forget(self) -> None:
        """Give up what was compiled for other shapes: it takes memory, and counts against the limit."""
        import torch

        torch._dynamo.reset()

    @property
    def in_force(self) -> bool:
        """Whether compiled code was called and inductor really compiled graphs for it."""
        return self._calls > 0 and self.graphs > 0 and self.settings is not None

    @property
    def settings(self) -> dict[str, Any] | None:
        """What inductor was set to; None where another backend, which need not compile, got the graphs."""
        describe = getattr(self._compiled, "get_compiler_config", None)
        found: dict[str, Any] | None = describe() if describe else None
        return found

    @property
    def tuning(self) -> str:
        """The word of the option for what inductor was set to."""
        found = self.settings or {}
        if found.get("max_autotune"):
            return "max-autotune"
        return "coordinate-descent" if found.get("coordinate_descent_tuning") else "none"

    @property
    def graphs(self) -> int:
        """Graphs compiled so far, recompilations included."""
        import torch

        return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])

    @property
    def calls(self) -> int:
        """Decode steps that went through the compiled forward."""
        return self._calls

    @property
    def source(self) -> Compiled:
        """Whether the graphs were compiled now or read from inductor's cache, which outlives the process."""
        return compiled_source()

    @property
    def replays(self) -> int:
        """Replays of CUDA graphs, which inductor captures by itself."""
        return self._replays.count if self._replays else 0

    @property
    def captured(self) -> Graphs:
        """Whether inductor captured its graphs, and replayed them."""
        found = self.settings
        if found is None or self._cuda_graphs(found) != "by inductor":
            return "no"
        return "replayed" if self.replays else "captured"

    def facts(self) -> dict[str, str]:
        """What the compiler was really set to, and how whole its graphs are."""
        import torch

        counters = torch._dynamo.utils.counters
        facts = {"graph_breaks": str(sum(counters["graph_break"].values()))}
        found = self.settings
        if found is not None:
            facts["tuning"] = self.tuning
            facts["cuda_graphs"] = self._cuda_graphs(found)
        return facts

    def _cuda_graphs(self, found: dict[str, Any]) -> str:
        import torch

        if self._device.type != "cuda" or not found.get("triton.cudagraphs"):
            return "no"
        return "skipped by inductor" if torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] else "by inductor"


def compiled_source() -> Compiled:
    """Whether inductor compiled the graphs of this process, or read them from its cache."""
    import torch

    counters = torch._dynamo.utils.counters
    # A hit of the outer cache, of whole functions, need not ask the inner one, of graphs.
    read = max(counters["inductor"]["fxgraph_cache_hit"], counters["aot_autograd"]["autograd_cache_hit"])
    return source(int(read), int(counters["inductor"]["fxgraph_cache_miss"]))


@contextmanager
def compile_errors_in_words() -> Iterator[None]:
    """What the compiler raises becomes an EngineError; want of memory is let through."""
    try:
        yield
    except RuntimeError as error:
        import torch

        if not isinstance(error, torch._dynamo.exc.TorchDynamoException) or "out of memory" in str(error).lower():
            raise
        raise EngineError(
            f"torch.compile failed: {one_line(error, 600)}",
            remedy="worker.log has more. A CPU needs a C++ compiler for it, a GPU Triton; or use engine.mode = static.",
        ) from error
