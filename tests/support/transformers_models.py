"""Tiny models for the Transformers engine, and a short way of loading and running them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.sinks import Stamps

from infertui.config.engines.transformers import TransformersOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.targets.engine.base import Batch, GenerationPlan, Getting, Loaded, LoadRequest
from infertui.targets.engine.transformers.engine import TransformersEngine

NANO = "synthetic:nano"
PROMPTS = ((5, 17, 90, 3), (42,), (7, 7, 8, 200, 11, 12, 13))


def load(
    model: str = NANO, *, device: str = "cpu", tuning: str = "none", **settings: Any
) -> tuple[TransformersEngine, Loaded]:
    """An engine with that model, in float32 and one thread unless `options` of `[engine]` say otherwise."""
    engine = TransformersEngine()
    options = TransformersOptions(tuning=tuning)  # type: ignore[arg-type]
    config = EngineConfig(**{"dtype": "float32", "transformers": options, **settings})
    return engine, engine.load(LoadRequest(ModelConfig(id=model), config, DeviceConfig(name=device, threads=1)))


def prepare(engine: TransformersEngine, prompts: Sequence[Sequence[int]], output_len: int) -> list[Getting]:
    """Prepare for batches like this one; what was entered."""
    entered: list[Getting] = []
    engine.prepare(GenerationPlan(len(prompts), (max(map(len, prompts)),), output_len), entered.append)
    return entered


def tokens(engine: TransformersEngine, output_len: int, prompts: Sequence[Sequence[int]] = PROMPTS) -> list[list[int]]:
    """The greedy tokens of one batch."""
    return engine.generate(Batch(tuple(map(tuple, prompts)), output_len), Stamps()).read()


def save_llama(folder: Path, *, seed: int = 1, layers: int = 2, vocabulary: int = 400) -> Path:
    """A checkpoint of a tiny Llama with a byte-level tokenizer, its generation config asking for sampling."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 20, trainer)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")  # noqa: S106
    wrapped.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(config)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.7, top_p=0.9, eos_token_id=list(range(400)), bos_token_id=0, pad_token_id=1
    )
    model.save_pretrained(folder)
    return folder
