"""From a request to a model on its device: the weights, the tokenizer, and errors in words.

Weights in fewer bits are made by torchao, the same way for checkpoints and synthetic models: after loading, in place.
Linear layers are quantised; embeddings, norms and the output layer stay as they are, as is the custom.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infertui.config.schema import EngineConfig, ModelConfig
from infertui.errors import EngineError, InfertuiError, ModelError
from infertui.models.memory.estimate import DeviceKind, dtype_in_use
from infertui.models.resolve import ModelSource
from infertui.models.tokenizers import ByteTokenizer, NoTokenizer, has_tokenizer
from infertui.targets.engine.transformers.inspection import weight_word
from infertui.text import clean, error_text

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> "torch.device":
    """The device of that name. Raises EngineError when it is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        built = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch sees no usable GPU"
        raise EngineError(
            f"device.name is {name}, but {built}",
            remedy="Use --device cpu, or install a CUDA build of torch; `infertui doctor` says what is there.",
        )
    index = device.index or 0
    if index >= torch.cuda.device_count():
        raise EngineError(f"device.name is {name}, but only {torch.cuda.device_count()} GPU(s) are visible")
    return torch.device("cuda", index)


def load_model(source: ModelSource, model: ModelConfig, engine: EngineConfig, device: "torch.device") -> Any:
    """The model with its weights, in evaluation mode, without gradients.

    With `engine.tensor_parallel` the process group is there already, and this process gets its share. Raises
    ModelError for what is wrong with the checkpoint; memory errors are let through.
    """
    import torch

    kind: DeviceKind = "cuda" if device.type == "cuda" else "cpu"
    dtype: torch.dtype = getattr(torch, dtype_in_use(source.shape, engine.dtype, kind))
    options: dict[str, Any] = {"dtype": dtype}
    if engine.attention != "auto":
        options["attn_implementation"] = engine.attention
    try:
        loaded = _build(source, model, options, device, engine.tensor_parallel)
    except (RuntimeError, MemoryError, InfertuiError):
        raise  # out of memory among them, which the worker tells with its figures
    except Exception as error:
        raise load_error(source, error) from error
    loaded.eval()
    return loaded.requires_grad_(requires_grad=False)


def _build(source: ModelSource, model: ModelConfig, options: dict[str, Any], device: "torch.device", ranks: int) -> Any:
    import torch
    import transformers

    options["trust_remote_code"] = model.trust_remote_code
    shared = {"distributed_config": _distributed(ranks)} if ranks > 1 else {}
    if source.kind == "synthetic":
        config = transformers.AutoConfig.from_pretrained(source.path, local_files_only=True)
        torch.manual_seed(model.seed)
        with device:
            whole = transformers.AutoModelForCausalLM.from_config(config, **options)
        if not shared:
            return whole
        # Every rank makes the same weights and keeps its share of them.
        del options["trust_remote_code"]
        divided = type(whole).from_pretrained(None, config=config, state_dict=whole.state_dict(), **options, **shared)
        del whole
        _let_whole_weights_go(divided)
        return divided
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        source.path, local_files_only=True, use_safetensors=_has_safetensors(source.path), **options, **shared
    )
    return loaded if shared else loaded.to(device)


def _let_whole_weights_go(model: Any) -> None:
    """Shares that are rows of a whole weight are views of it and would keep all of it: copy them."""
    import torch
    from torch import nn
    from torch.distributed.tensor import DTensor

    places: dict[int, list[tuple[nn.Module, str]]] = {}  # of each weight: those that are tied have several
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if isinstance(weight, DTensor):
                places.setdefault(id(weight), []).append((module, name))
    for tied in places.values():
        module, name = tied[0]
        weight = getattr(module, name)
        share, whole = weight.to_local().detach().clone(), {"shape": weight.shape, "stride": weight.stride()}
        copied = DTensor.from_local(share, weight.device_mesh, weight.placements, run_check=False, **whole)
        parameter = nn.Parameter(copied)
        for module, name in tied:
            module.register_parameter(name, parameter)
        del weight
        if share.is_cuda:
            torch.cuda.empty_cache()  # or the next copy would lie in what this one freed, and hold all of that


def _distributed(ranks: int) -> Any:
    try:
        from transformers.distributed import DistributedConfig

        return DistributedConfig(tp_size=ranks)
    except (ImportError, TypeError) as error:
        raise EngineError(
            "this version of Transformers has no tensor parallelism that infertui knows",
            remedy="Use Transformers 5.17 or newer; constraints.txt names a tested version.",
        ) from error


def load_tokenizer(source: ModelSource, model: ModelConfig) -> Any:
    """The checkpoint's own tokenizer, as Transformers reads it; bytes for synthetic models.

    Of a checkpoint without one, one that knows special ids and no text.
    """
    if source.kind == "synthetic":
        return ByteTokenizer()
    if not has_tokenizer(source.path):
        return NoTokenizer(source)
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(
            source.path, local_files_only=True, trust_remote_code=model.trust_remote_code
        )
    except Exception as error:
        raise load_error(source, error, "the tokenizer of ") from error


def load_error(source: ModelSource, error: Exception, part: str = "") -> ModelError:
    """Checkpoints fail to load with whatever type the library at fault chose."""
    text = error_text(error, 600)
    return ModelError(
        f"Transformers cannot load {part}{clean(source.id)}: {text}",
        remedy="worker.log has more; `infertui models` lists what is here.",
    )


def pad_id(tokenizer: Any, config: Any) -> int:
    """What short prompts are filled up with. Any id serves where the mask is handed over beside the ids."""
    vocabulary = int(config.get_text_config().vocab_size)
    candidates = (getattr(tokenizer, "pad_token_id", None), getattr(tokenizer, "eos_token_id", None), 0)
    return next(token for token in candidates if token is not None and 0 <= token < vocabulary)


def clear_generation_config(model: Any) -> None:
    """Whatever a checkpoint asks for (sampling, penalties, stop tokens) would be merged into ours: start clean."""
    import transformers

    model.generation_config = transformers.GenerationConfig()


def _has_safetensors(path: Path) -> bool:
    return any(Path(path).glob("*.safetensors"))


UNPACKING = "on a CPU a prototype of torchao's, which unpacks the weights in every step: its speed is not int4's"
"""What is said of int4 there: 0.8 tok/s where float32 made 41."""

_GROUPS = (128, 64, 32)
_REMEDY = "Use engine.quantization = int8, or auto for none."


def quantize(model: Any, word: str, device: "torch.device") -> dict[str, str]:
    """Quantise the linear layers of `model` in place and return facts on how.

    `word` is one of `engine.quantization`. Raises EngineError where torchao is missing or cannot do it here.
    """
    if find_spec("torchao") is None:
        raise EngineError(
            f"engine.quantization = {word} needs torchao, which is not installed",
            remedy="pip install torchao; or set engine.quantization = auto.",
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise EngineError(
            f"engine.quantization = {word}, but the checkpoint is quantised already",
            remedy="Set engine.quantization = auto to run it as it is.",
        )
    converted = _conv1d_to_linear(model)
    layers = dict(_linears(model))
    if not layers:
        raise EngineError(f"engine.quantization = {word}: this model has no linear layers that could be quantised")
    try:
        from torchao.quantization import quantize_

        config, facts = _config(word, list(layers.values()), device)
        quantize_(model, config, filter_fn=lambda _module, name: name in layers)
    except (RuntimeError, MemoryError, InfertuiError):
        raise  # want of memory among them
    except Exception as error:
        raise EngineError(
            f"engine.quantization = {word} cannot be used with {str(model.dtype).removeprefix('torch.')} "
            f"on {device.type}: {error_text(error)}",
            remedy=_REMEDY,
        ) from error
    left = [name for name in layers if not weight_word(model.get_submodule(name).weight)]
    if left:
        raise EngineError(
            f"engine.quantization = {word}: torchao left {len(left)} of {len(layers)} linear layers as they were, "
            f"{clean(left[0])} among them",
            remedy=_REMEDY,
        )
    if converted:
        facts["converted_layers"] = f"{converted} Conv1D to Linear"
    return facts


def _linears(model: Any) -> list[tuple[str, Any]]:
    from torch import nn

    head = model.get_output_embeddings()
    return [
        (name, module) for name, module in model.named_modules() if type(module) is nn.Linear and module is not head
    ]


def _config(word: str, layers: list[Any], device: "torch.device") -> tuple[Any, dict[str, str]]:
    """torchao's config, and facts. It is kept from changing inductor's settings: they are options of their own."""
    import torch
    from torchao import quantization as ao

    match word:
        case "int8":
            return ao.Int8WeightOnlyConfig(set_inductor_config=False), {"quantization": "weight-only, scale per row"}
        case "fp8":
            return ao.Float8WeightOnlyConfig(set_inductor_config=False), {"quantization": "weight-only, e4m3"}
        case "fp8-dynamic":
            rows = layers[0].weight.dtype is torch.bfloat16
            granularity = ao.PerRow() if rows else ao.PerTensor()
            config = ao.Float8DynamicActivationFloat8WeightConfig(granularity=granularity, set_inductor_config=False)
            per = "row" if rows else "tensor"
            return config, {"quantization": f"weights and activations, e4m3, activations at run time, scale per {per}"}
        case "int4":
            group = _group_size(layers)
            fact = {"quantization": f"weight-only, groups of {group}"}
            if device.type == "cpu":
                from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

                return PrototypeInt4WeightOnlyConfig(group_size=group, set_inductor_config=False), fact
            if layers[0].weight.dtype is not torch.bfloat16:
                raise EngineError(
                    "engine.quantization = int4 needs bfloat16 on a GPU", remedy="Set engine.dtype = bfloat16."
                )
            config = ao.Int4WeightOnlyConfig(
                group_size=group, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
            )
            return config, fact
        case _:
            raise EngineError(f"engine.quantization = {word} is not known here", remedy=_REMEDY)


def _group_size(layers: list[Any]) -> int:
    for size in _GROUPS:
        if all(layer.in_features % size == 0 for layer in layers):
            return size
    raise EngineError(
        f"engine.quantization = int4 needs layers whose inputs are a multiple of {_GROUPS[-1]}; this model's are not",
        remedy=_REMEDY,
    )


def _conv1d_to_linear(model: Any) -> int:
    """GPT-2's Conv1D is a linear layer with its weight turned round; torchao knows only the usual one."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    found = [(name, module) for name, module in model.named_modules() if isinstance(module, Conv1D)]
    for name, old in found:
        inputs, outputs = old.weight.shape
        new = nn.Linear(inputs, outputs, device="meta")
        new.weight = nn.Parameter(old.weight.data.T.contiguous(), requires_grad=False)
        new.bias = nn.Parameter(old.bias.data, requires_grad=False)
        model.set_submodule(name, new)
    return len(found)
