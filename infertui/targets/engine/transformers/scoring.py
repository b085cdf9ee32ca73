"""How likely a sequence is: the library's forward over it, chunk by chunk with a KV cache, logits in float32."""

from collections.abc import Callable, Sequence
from typing import Any

from infertui.errors import EngineError

CHUNK = 128
"""Tokens whose logits are held at once: 66 MB in float32 for a vocabulary of 128 thousand."""


def log_likelihood(model: Any, ids: Sequence[int], going_on: Callable[[], None]) -> float:
    """Sum of ln p(ids[n] | ids[:n]) over n from 1, in nats: log-softmax in float32, summed in float64."""
    import torch

    total, cache = 0.0, None
    tokens = torch.tensor([list(ids)], device=model.device)
    last = tokens.shape[1] - 1
    with torch.inference_mode():
        for begin in range(0, last, CHUNK):
            going_on()
            end = min(begin + CHUNK, last)
            answer = model(input_ids=tokens[:, begin:end], past_key_values=cache, use_cache=True)
            cache = getattr(answer, "past_key_values", None)
            if cache is None and end < last:
                raise EngineError("this model keeps no KV cache that can be handed back to it")
            logs = answer.logits[0].float().log_softmax(-1)
            total += float(logs.gather(1, tokens[0, begin + 1 : end + 1, None]).double().sum())
    return total
