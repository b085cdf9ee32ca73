"""One tokenizer for every engine: it gives what Transformers gives, without Transformers."""

import json
from pathlib import Path
from typing import Any

import pytest

from infertui.errors import ModelError
from infertui.models.resolve import ModelSource, resolve
from infertui.models.tokenizers import has_tokenizer, load_tokenizer, tokenizer_if_any

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: it comes with transformers")

TEXTS = (
    "the quick fox",
    "",
    " two  spaces\n",
    "Grüße, 世界 🦊",
    "<s>the</s> lazy dog",
    "a\x00b",
    "\N{ZERO WIDTH JOINER}",
)


@pytest.fixture(params=["plain", "begin", "both"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> ModelSource:
    """A checkpoint folder with a trained tokenizer: none, one or two special tokens around a text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>", "<reserved>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 20, trainer)
    template = {"plain": "$A", "begin": "<s> $A", "both": "<s> $A </s>"}[request.param]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=40, pad_id=1, pad_token="</s>")  # noqa: S106
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "add_bos_token": request.param == "plain",
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False, "special": True},
    })  # fmt: skip
    write(tmp_path / "config.json", {"model_type": "llama", "vocab_size": 300, "hidden_size": 64,
          "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2})  # fmt: skip
    (tmp_path / "model.safetensors").write_bytes(b"never opened here")
    return resolve(str(tmp_path))


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def test_it_gives_the_ids_that_transformers_gives(source: ModelSource) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs = transformers.AutoTokenizer.from_pretrained(source.path, local_files_only=True)
    ours = load_tokenizer(source)
    assert [ours.encode(text) for text in TEXTS] == [theirs.encode(text) for text in TEXTS]
    assert ours.all_special_ids == tuple(sorted(set(theirs.all_special_ids)))
    assert ours.vocab_size == len(theirs)


def test_a_text_is_neither_cut_nor_padded(source: ModelSource) -> None:
    assert len(load_tokenizer(source).encode("fox " * 50)) >= 50


def test_no_text_is_refused(source: ModelSource) -> None:
    assert load_tokenizer(source).encode("half \ud83e of a fox")


@pytest.mark.parametrize("source", ["plain"], indirect=True)
@pytest.mark.parametrize("content", [None, "", "[1]", '{"eos_token": 3, "additional_special_tokens": "x"}', "nonsense"])
def test_a_config_that_names_no_special_tokens_leaves_it_to_the_marks(source: ModelSource, content: str | None) -> None:
    path = source.path / "tokenizer_config.json"
    path.unlink() if content is None else path.write_text(content)
    assert load_tokenizer(source).all_special_ids == (0, 1, 2)


@pytest.mark.parametrize("source", ["plain"], indirect=True)
def test_a_list_of_more_special_tokens_counts(source: ModelSource) -> None:
    write(
        source.path / "tokenizer_config.json",
        {"bos_token": "<s>", "additional_special_tokens": ["<reserved>", "<unknown>"]},
    )
    assert load_tokenizer(source).all_special_ids == (0, 2)


@pytest.mark.parametrize("source", ["plain"], indirect=True)
@pytest.mark.parametrize("content", [b"", b"{", b'{"model": {"type": "BPE"}}', b"\xff\x1b[2J"])
def test_a_broken_file_is_one_clear_error(source: ModelSource, content: bytes) -> None:
    (source.path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json of .* cannot be read") as caught:
        load_tokenizer(source)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("source", ["plain"], indirect=True)
def test_a_folder_without_one_names_the_remedy(source: ModelSource) -> None:
    (source.path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json") as caught:
        load_tokenizer(source)
    assert "save_pretrained" in caught.value.remedy


def test_a_synthetic_model_counts_bytes() -> None:
    tokenizer = load_tokenizer(resolve("synthetic:nano"))
    assert tokenizer.encode("aé") == [97, 195, 169]
    assert tokenizer.all_special_ids == (256, 257, 258)
    assert tokenizer.vocab_size == 259


def test_a_model_without_a_tokenizer_names_its_special_ids_and_makes_none_of_text(source: ModelSource) -> None:
    (source.path / "tokenizer.json").unlink()
    (source.path / "config.json").write_text('{"bos_token_id": 3, "text_config": {"eos_token_id": [5, 4]}}')
    (source.path / "generation_config.json").write_text('{"pad_token_id": 7, "eos_token_id": null}')
    tokenizer = tokenizer_if_any(source)
    assert tokenizer.all_special_ids == (3, 4, 5, 7)
    with pytest.raises(ModelError, match="has no tokenizer, and prompts of text need one") as caught:
        tokenizer.encode("one")
    assert "random" in caught.value.remedy


def test_what_is_asked_of_a_model_that_has_one_is_the_same(source: ModelSource) -> None:
    assert tokenizer_if_any(source).encode("one") == load_tokenizer(source).encode("one")
    assert has_tokenizer(source.path)
    for file in list(source.path.iterdir()):
        if "token" in file.name:
            file.unlink()
    assert not has_tokenizer(source.path)
