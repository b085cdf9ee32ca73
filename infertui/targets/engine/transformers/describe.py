"""What Transformers makes of a config.json, without weights: parameters, and what its own cache keeps of a token.

Run as a process of its own, `python -P -m infertui.targets.engine.transformers.describe FD TOKEN SECONDS`, with the
config on standard input: the answer goes to descriptor FD as one line. The model is built on PyTorch's meta
device, where tensors have shapes and no memory, and asked to read five tokens and then six. What its cache has more the
second time is what a
token takes; the rest is kept whatever the length.
"""

import os
import resource
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from infertui.models.hub.asking import LibraryAnswer
from infertui.models.memory.kv_cache import Cache, CacheLayers, gathered

_MOST_MEMORY = 16 << 30
"""Bytes of address space, of which PyTorch's libraries take several GiB."""
_MOST_CONFIG = 8 << 20
_SHORT, _LONG = 5, 6
# They name kernels to fetch, code to run or weights' formats; none of it changes a shape.
_LEFT_OUT = (
    "quantization_config", "auto_map", "attn_implementation", "_attn_implementation", "experts_implementation",
    "_experts_implementation", "use_kernels", "torch_dtype", "dtype", "transformers_version", "compression_config",
)  # fmt: skip


def describe(config: Mapping[str, Any]) -> LibraryAnswer:
    """The answer for a config. Whatever goes wrong becomes its `problem`."""
    kind = config.get("model_type")
    if not isinstance(kind, str):
        return LibraryAnswer(problem="the config names no model_type")
    try:
        return _described(kind, config)
    except Exception as error:  # noqa: BLE001 (a config can be wrong in any way, and the library with it)
        return LibraryAnswer(problem=f"{type(error).__name__}: {str(error)[:200]}")


def _described(kind: str, config: Mapping[str, Any]) -> LibraryAnswer:
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    known = transformers.CONFIG_MAPPING
    if kind not in known:
        return LibraryAnswer(problem=f"Transformers {transformers.__version__} knows no {kind}")
    built = known[kind].from_dict(_stripped(config))
    makers = [transformers.AutoModelForCausalLM]
    makers += [
        getattr(transformers, "AutoModelForImageTextToText", None),
        getattr(transformers, "AutoModelForMultimodalLM", None),
    ]
    maker = next((each for each in makers if each is not None and type(built) in each._model_mapping), None)
    if maker is None:
        return LibraryAnswer(decoder=False, architecture=kind)
    with torch.device("meta"):
        # In 16 bits: some kernels for experts take nothing else.
        model = maker.from_config(built, dtype=torch.bfloat16).eval()
    text = built.get_text_config(decoder=True)
    # A prompt that seems to hold padding is looked at, which without data cannot be done.
    text.pad_token_id = built.pad_token_id = None
    return _measured(model, text, kind)


def _stripped(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _stripped(value) if isinstance(value, Mapping) and key.endswith("_config") else value
        for key, value in config.items()
        if key not in _LEFT_OUT
    }


def _measured(model: Any, text: Any, kind: str) -> LibraryAnswer:
    import torch

    def number(*names: str) -> int:
        for name in names:
            value = _or_none(partial(getattr, text, name, None))  # some refuse what differs between layers
            if isinstance(value, list):
                value = max((each for each in value if isinstance(each, int)), default=0)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        return 0

    head = model.get_output_embeddings()
    head_weight = None if head is None else getattr(head, "weight", None)
    tables = {id(part.weight) for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    experts = number("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    active = number("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
    share = active / experts if experts and 0 < active <= experts else 1.0
    parameters = routed = matrices = 0
    for name, weight in model.named_parameters():
        parameters += weight.numel()
        expert = ".experts." in name
        routed += weight.numel() * expert
        if weight.dim() > 1 and id(weight) not in tables and weight is not head_weight:
            matrices += round(weight.numel() * (share if expert else 1))
    idle = round(routed * (1 - share))
    hidden, heads = number("hidden_size"), number("num_attention_heads")
    names = [name for name, _ in model.named_parameters()]
    return LibraryAnswer(
        architecture=kind,
        layers=number("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=number("num_key_value_heads", "num_kv_heads") or heads,
        head_dim=number("head_dim") or (hidden // heads if heads else 0),
        intermediate=number("moe_intermediate_size", "intermediate_size", "ffn_dim")
        if experts
        else number("intermediate_size", "ffn_dim", "n_inner") or 4 * hidden,
        vocab=number("vocab_size"),
        max_positions=number("max_position_embeddings"),
        tied_embeddings=head_weight is not None and id(head_weight) in tables,
        gated_mlp=any("gate_" in name or "gate_up" in name for name in names),
        parameters=parameters,
        active_parameters=parameters - idle,
        matrix_parameters=0 if _multimodal(model) else matrices,
        experts=experts,
        active_experts=active if experts else 0,
        cache=_kept(model),
    )


def _multimodal(model: Any) -> bool:
    """Whether parts of it are passed by no text: their matrices are not told from the others'."""
    return getattr(model.config, "text_config", None) is not None


def _kept(model: Any) -> Cache | None:
    short = _or_none(lambda: _layers(model, _SHORT))
    long = _or_none(lambda: _layers(model, _LONG))
    if short is None or long is None or len(short) != len(long):
        return None
    found = []
    for before, after in zip(short, long, strict=True):
        keys, values = after[0] - before[0], after[1] - before[1]
        # Everything that grows has to begin at nothing, and a state must not grow.
        if (keys, values) != (after[0] // _LONG, after[1] // _LONG) or before[2:] != after[2:]:
            return None
        found.append(CacheLayers(1, keys, values, after[4] if keys or values else 0, after[2], after[3]))
    return gathered(each for each in found if each.keys or each.values or each.state)


def _layers(model: Any, tokens: int) -> list[tuple[int, int, int, int, int]] | None:
    """Of each layer after so many tokens: numbers of keys, of values, of states, of those in float32; its window."""
    import torch

    with torch.no_grad(), torch.device("meta"):
        ids = torch.zeros((1, tokens), dtype=torch.long)
        out = model(input_ids=ids, use_cache=True)
    cache = out.get("past_key_values", out.get("cache_params"))
    if cache is None or not hasattr(cache, "layers"):
        return None
    found = [
        (0, 0, tensor.numel(), tensor.numel() * (tensor.dtype == torch.float32), 0)
        for name, held in vars(cache).items()
        if name != "layers"
        for tensor in _tensors(held)
    ]
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        states = [
            tensor
            for name in ("conv_states", "recurrent_states")
            for tensor in (getattr(layer, name, None) or {}).values()
            if tensor is not None
        ]
        # Whatever else a layer holds is nothing that is known here.
        if any(
            isinstance(value, torch.Tensor) and value.dim() > 2
            for name, value in vars(layer).items()
            if name not in ("keys", "values")
        ):
            return None
        found.append(
            (
                0 if keys is None else keys.numel(),
                0 if values is None else values.numel(),
                sum(tensor.numel() for tensor in states),
                sum(tensor.numel() for tensor in states if tensor.dtype == torch.float32),
                int(getattr(layer, "sliding_window", None) or 0),
            )
        )
    return found


def _tensors(held: Any) -> list[Any]:
    """The tensors in a value, or in a list or table that it is."""
    import torch

    if isinstance(held, torch.Tensor):
        return [held]
    if isinstance(held, Mapping):
        held = list(held.values())
    return [tensor for tensor in held if isinstance(tensor, torch.Tensor)] if isinstance(held, list | tuple) else []


def _or_none(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception:  # noqa: BLE001 (a step that cannot be taken without data tells nothing of the cache)
        return None


def main(arguments: list[str]) -> None:
    """In the process of its own."""
    descriptor, token, seconds = int(arguments[0]), arguments[1], int(arguments[2])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(descriptor, False)
    config = msgspec.json.decode(sys.stdin.buffer.read(_MOST_CONFIG + 1))
    answer = describe(config)
    os.write(descriptor, token.encode() + b" " + msgspec.json.encode(answer) + b"\n")
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
