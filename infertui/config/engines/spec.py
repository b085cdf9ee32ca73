"""The description of an engine: what it is called, which options of `[engine]` it takes, and its own options."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from infertui.config.section import Section

DeviceKind = Literal["cpu", "cuda"]
CommonOption = Literal["dtype", "mode", "attention", "quantization", "speculation", "tensor_parallel"]


class Need(Struct, frozen=True):
    """What a word of an option takes besides the engine: one of some packages, by the name that is imported, with the
    command that installs it; and a compute capability, such as `8.0`, that every GPU in use has at least."""

    packages: tuple[str, ...] = ()
    install: str = ""
    capability: str = ""


class NoOptions(Section, frozen=True):
    """An engine without options of its own."""


class EngineSpec(Struct, frozen=True, kw_only=True):
    """An engine as config, form, command line and docs know it. Importing one imports no backend.

    `module` holds `create(clock) -> Engine` and `probe() -> Probe`, see `infertui.targets.engine.base`. `options` is
    the table `[engine.TABLE]`, a Section whose annotations give types, limits and help. `options` names the keys of
    `[engine]` that it honours, each with the words allowed there, its own default first; an empty tuple allows all
    that the schema does. Any other option has to stay at its default. An engine that is `sized_at_load` reserves
    memory for the workload while it loads, so that another workload needs another load. `needs` says what words of
    options take besides the engine; `*` stands for every word but the default. Its `probe` tells which `packages` there
    are.
    """

    name: str
    summary: str
    module: str
    common: Mapping[CommonOption, tuple[str, ...]]
    options: type[Section] = NoOptions
    install: str = ""
    devices: tuple[DeviceKind, ...] = ("cpu", "cuda")
    sized_at_load: bool = False
    needs: Mapping[CommonOption, Mapping[str, Need]] = {}
    not_run_on_hardware: str = ""
    """Says so, where the adapter was written from documents and never ran against the library itself."""
    adapts: tuple[str, ...] = ()
    """Keys of a config, such as `device.threads`, that it takes anew with the model loaded."""
    gpu_layers: str = ""
    """The option of its own table that says how many layers are held on the GPU; empty where there is none."""

    @property
    def table(self) -> str:
        """The key of its options under `[engine]`: `llama_cpp` for `llama-cpp`."""
        return self.name.replace("-", "_")
