"""The vocabulary that a GGUF file carries. Prompts are handed over as ids, so nothing measured depends on it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from infertui.models.byte_tokenizer import ByteTokenizer
from infertui.models.disk import read_at_most

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Token types, as llama.cpp numbers them."""

_MAX_BYTES = 256 << 20
_LLAMA3_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"


class Vocabulary(Struct, frozen=True):
    """A byte-level BPE vocabulary, as GGUF keeps it: `pre` names how text is split before merging."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str
    bos: int
    eos: int


def byte_letters() -> list[str]:
    """The visible character that stands for each byte in byte-level BPE (GPT-2's mapping)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {byte: 256 + place for place, byte in enumerate(others)}
    return [chr(shifted.get(byte, byte)) for byte in range(256)]


def of_bytes(size: int) -> Vocabulary:
    """The vocabulary of `ByteTokenizer`, filled up to `size`. Nothing merges: each byte is a token."""
    tokens = [*byte_letters(), "<pad>", "<s>", "</s>"][:size]
    types = [NORMAL] * min(size, 256) + [CONTROL] * max(0, len(tokens) - 256)
    more = range(len(tokens), size)
    tokens += [_unused(number) for number in more]
    types += [UNUSED] * len(more)
    begin, end = ByteTokenizer.bos_token_id, ByteTokenizer.eos_token_id
    # llama.cpp wants at least one merge; this one is of texts that no byte gives.
    return Vocabulary(tokens, types, ["<pad> <pad>"], "gpt-2", min(begin, size - 1), min(end, size - 1))


def of_checkpoint(folder: Path, size: int, bos: object, eos: object) -> Vocabulary | None:
    """The vocabulary of a tokenizer.json of `size` ids; None where it is not byte-level BPE in a way known here."""
    try:
        content = read_at_most(folder / "tokenizer.json", _MAX_BYTES)
        table = msgspec.json.decode(content or b"{}", type=dict[str, Any])
        model = table["model"]
        pre = _splitting(table)
        if pre is None or model["type"] != "BPE" or model.get("byte_fallback"):
            return None
        by_id = {number: text for text, number in model["vocab"].items()}
        added = {token["id"]: token for token in table.get("added_tokens", ())}
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        tokens, types = [], []
        for number in range(size):
            if number in added:
                tokens.append(str(added[number]["content"]))
                types.append(CONTROL if added[number].get("special") else USER_DEFINED)
            else:
                tokens.append(str(by_id.get(number, _unused(number))))
                types.append(NORMAL if number in by_id else UNUSED)
    except (OSError, msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if not merges:
        return None
    return Vocabulary(tokens, types, merges, pre, _id(bos, size), _id(eos, size))


def _splitting(table: dict[str, Any]) -> str | None:
    """llama.cpp's name for how the file splits text; None where it knows none, or a normalizer changes it first."""
    if table.get("normalizer"):
        return None
    steps = list(_steps(table.get("pre_tokenizer")))
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and not steps[0].get("add_prefix_space") and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern")
        regex = pattern.get("Regex", "") if isinstance(pattern, dict) else ""
        return "llama-bpe" if str(regex).startswith(_LLAMA3_SPLIT) else None
    return None


def _steps(step: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(step, dict):
        return ()
    if step.get("type") == "Sequence":
        return [inner for inner in step.get("pretokenizers", ()) if isinstance(inner, dict)]
    return (step,)


def _id(value: object, size: int) -> int:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) and 0 <= first < size else 0


def _unused(number: int) -> str:
    return f"[unused{number}]"
