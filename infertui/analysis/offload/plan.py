"""What a study is asked for: which layers, up to how many, on which card, with which config of a run."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.coarse import Estimate, next_layers
from infertui.analysis.offload.layers import budget
from infertui.analysis.offload.points import OffloadPoint, layers_key
from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config
from infertui.config.sweep import Variant, rooted
from infertui.errors import UsageError
from infertui.models.resolve import resolve

STUDY = "study"
"""The label of all runs of a study: its id."""
USUAL: dict[str, FlatValue] = {
    "measurement.min_seconds": 5.0,
    "measurement.max_seconds": 20.0,
    "quality.perplexity": "off",
    "quality.reference": "none",
}
"""Settings of a study's runs where nothing else is asked for; quality is left out, as layers on another device say the
same."""
_NOT_BY_LAYERS = {
    "transformers": "it holds a model on one device as a whole, and has no option for layers elsewhere",
    "vllm": "it holds all layers on the GPU; what can be chosen there is the memory of its KV cache: "
    "`infertui run --engine vllm --sweep engine.vllm.kv_cache_mib=LIST` compares sizes",
    "tensorrt-llm": "an engine that is built holds all layers on the GPU",
    "openvino": "it computes on the CPU, and uses no NVIDIA GPU",
}


class OffloadPlan(Struct, frozen=True):
    """A study to measure: `config` of its runs but for the layers, `most` layers that can be on the GPU.

    `layers` are those to measure; without any it goes from coarse to fine.
    """

    study: str
    config: Config
    most: int
    card: Card
    layers: tuple[int, ...] = ()

    @property
    def runs(self) -> int:
        """Points to measure, at most."""
        return len(self.layers) or budget(self.most)

    def next(self, points: Sequence[OffloadPoint], estimate: Estimate) -> tuple[int, ...]:
        """The layers to measure next, after these points: all that are missing of a list, else one; none at the end."""
        if self.layers:
            known = {point.layers for point in points}
            return tuple(layers for layers in self.layers if layers not in known)
        found = next_layers(points, self.most, self.card, estimate, self.runs)
        return () if found is None else (found,)

    def variant(self, layers: int) -> Variant:
        """The run with so many layers on the GPU."""
        key = layers_key(self.config.engine.name)
        flat: dict[str, FlatValue] = {**flat_values(self.config), key: layers}
        model = self.config.model.id.rstrip("/").rpartition("/")[2].removeprefix("synthetic:")
        return Variant(f"{model} n_gpu_layers={layers}", rooted(build(flat)), {key: layers})


def most_layers(config: Config) -> int:
    """Layers of the model that can be on the GPU, the output layer counting as one where the engine has it so.

    Raises UsageError for an engine that divides no model by layers, and ModelError.
    """
    engine = config.engine
    if not layers_key(engine.name):
        why = _NOT_BY_LAYERS.get(engine.name, "it has no option for the number of layers on the GPU")
        raise UsageError(
            f"{engine.name} cannot be studied by layers on the GPU: {why}",
            remedy="Engines that can: llama-cpp, for models that it can load.",
        )
    if engine.name == "simulator":
        if not engine.simulator.layers:
            raise UsageError(
                "the simulator has no layers to put on a GPU",
                remedy="Give it some: engine.simulator.layers=24 and engine.simulator.gpu_layer_mib=100",
            )
        return engine.simulator.layers
    return resolve(config.model.id, config.model.revision).shape.layers + 1
