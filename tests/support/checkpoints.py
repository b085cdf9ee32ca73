"""Small random checkpoints on disk, with a trained tokenizer, and what Transformers makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

VOCABULARY = 512


def save_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer of `VOCABULARY` ids or fewer, as Transformers writes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog, again and again"] * 20, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>")  # noqa: S106
    wrapped.save_pretrained(folder)


def save_llama(folder: Path, *, dtype: str = "float32", **config: Any) -> Any:
    """A Llama with grouped-query attention. Weights are spread wide, so that outputs vary and ties are rare."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    options: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": 0,
        "eos_token_id": 0, "initializer_range": 0.1,
    }  # fmt: skip
    torch.manual_seed(5)
    return _save(LlamaForCausalLM(LlamaConfig(**{**options, **config})), folder, dtype)


def save_mistral(folder: Path, **config: Any) -> Any:
    """A Mistral, which is a Llama with a window."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    options: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": 0,
        "eos_token_id": 0, "initializer_range": 0.1, "sliding_window": 128,
    }  # fmt: skip
    torch.manual_seed(7)
    return _save(MistralForCausalLM(MistralConfig(**{**options, **config})), folder, "float32")


def save_gpt2(folder: Path, **config: Any) -> Any:
    """A GPT-2."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    options: dict[str, Any] = {
        "vocab_size": VOCABULARY, "n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 256, "bos_token_id": 0,
        "eos_token_id": 0, "initializer_range": 0.1,
    }  # fmt: skip
    torch.manual_seed(6)
    return _save(GPT2LMHeadModel(GPT2Config(**{**options, **config})), folder, "float32")


def _save(model: Any, folder: Path, dtype: str) -> Any:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # a fresh model has zeros there, which would prove nothing
                parameter.normal_(0, 0.1)
    model = model.to(getattr(torch, dtype)).eval()
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model


class Reference(NamedTuple):
    """What Transformers generates greedily. `margins` say by how much each token won, in deviations of the logits."""

    ids: list[int]
    margins: list[float]

    def parts_from(self, ids: Sequence[int]) -> float | None:
        """The margin of the first token at which `ids` are others; None where they are the same."""
        places = (place for place, (one, other) in enumerate(zip(self.ids, ids, strict=True)) if one != other)
        place = next(places, None)
        return None if place is None else self.margins[place]


def greedy(model: Any, prompt: Sequence[int], tokens: int) -> Reference:
    """Generate from one prompt alone: no padding, no end of sequence."""
    import torch

    ids, margins = list(prompt), []
    with torch.no_grad():
        for _ in range(tokens):
            logits = model(torch.tensor([ids])).logits[0, -1]
            best, second = logits.topk(2).values.tolist()
            margins.append((best - second) / float(logits.std()))
            ids.append(int(logits.argmax()))
    return Reference(ids[len(prompt) :], margins)
