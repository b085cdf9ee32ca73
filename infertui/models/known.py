"""The shape of a config.json by whoever knows it: this program for the families of `shapes`, else Transformers."""

from collections.abc import Mapping
from typing import Any

from infertui.errors import ModelError
from infertui.models.decoders import check_decoder, not_a_decoder
from infertui.models.hub.asking import LibraryAnswer, described
from infertui.models.shapes import ModelShape, OddConfigError, checkpoint_dtype, quantization_of, read_shape


def shape_of_config(config: Mapping[str, Any], *, source: str = "config.json", only_kept: bool = False) -> ModelShape:
    """The shape. Where nobody knows it, `exact` is false and `cache` None.

    The first time that a family is asked for takes seconds; with `only_kept` nobody is asked. Raises ModelError as
    `read_shape` does.
    """
    check_decoder(config, source)
    shape, error = None, None
    try:
        shape = read_shape(config, source=source)
    except OddConfigError as problem:
        error = ModelError(problem.message, remedy=problem.remedy)
    if shape is not None and shape.exact:
        return shape
    answer = described(config, only_kept=only_kept)
    if answer is not None and not answer.decoder:
        raise not_a_decoder(answer.architecture, "nothing that Transformers generates text with", source)
    if answer is not None and not answer.problem and answer.layers and answer.hidden and answer.vocab:
        return _by(answer, config)
    if shape is None:
        raise error or ModelError(f"{source} says nothing of the model")
    return shape


def _by(answer: LibraryAnswer, config: Mapping[str, Any]) -> ModelShape:
    inner = config.get("text_config")
    dtype = checkpoint_dtype(config) or (checkpoint_dtype(inner) if isinstance(inner, Mapping) else "")
    return ModelShape(
        architecture=answer.architecture,
        layers=answer.layers,
        hidden=answer.hidden,
        heads=answer.heads,
        kv_heads=_kv_heads(answer),
        head_dim=answer.head_dim,
        intermediate=answer.intermediate,
        vocab=answer.vocab,
        max_positions=answer.max_positions,
        tied_embeddings=answer.tied_embeddings,
        parameters=answer.parameters,
        active_parameters=answer.active_parameters,
        exact=True,
        gated_mlp=answer.gated_mlp,
        dtype=dtype,
        experts=answer.experts,
        active_experts=answer.active_experts,
        quantization=quantization_of(config),
        matrix_parameters=answer.matrix_parameters,
        cache=answer.cache,
        told_by=f"Transformers {answer.version}",
    )


def _kv_heads(answer: LibraryAnswer) -> int:
    """KV heads by what is kept, where that is ordinary: configs name them in many ways, multi-query ones in none."""
    widths = {(group.keys, group.values) for group in answer.cache or () if group.keys}
    if len(widths) == 1:
        keys, values = widths.pop()
        if keys == values and answer.head_dim and keys % answer.head_dim == 0:
            return keys // answer.head_dim
    return answer.kv_heads
