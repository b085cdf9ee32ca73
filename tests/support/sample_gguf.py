"""A tiny GGUF file, written without any library: metadata and tensors as a test wants them."""

import struct
from math import prod
from pathlib import Path

from infertui.models.gguf.read import TYPES

Tensors = dict[str, tuple[tuple[int, ...], int]]

METADATA: dict[str, object] = {
    "general.architecture": "qwen2",
    "general.name": "a model \x1b]0;hello\x07",
    "qwen2.block_count": 2,
    "qwen2.embedding_length": 64,
    "qwen2.attention.head_count": 4,
    "qwen2.attention.head_count_kv": [2, 1],
    "qwen2.feed_forward_length": 96,
    "qwen2.context_length": 4096,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}
TENSORS: Tensors = {
    "token_embd.weight": ((320, 64), 8),
    "output.weight": ((320, 64), 8),
    "blk.0.attn_norm.weight": ((64,), 0),
    "blk.0.ffn_gate.weight": ((96, 64), 12),
}


def write_sample(path: Path) -> Path:
    """The sample, in a file."""
    path.write_bytes(gguf(METADATA, TENSORS))
    return path


def text(value: str) -> bytes:
    """A length and the bytes, as GGUF keeps texts."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(metadata: dict[str, object], tensors: Tensors, *, cut: int = 0) -> bytes:
    """A file, without its last `cut` bytes; tensors by name, with dimensions (rows first) and type."""
    widths = {number: (block, width) for number, (_, block, width) in TYPES.items()}
    body = b"".join(_entry(key, value) for key, value in metadata.items())
    infos, data = b"", b""
    for name, (shape, kind) in tensors.items():
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        infos += struct.pack("<IQ", kind, len(data))
        block, width = widths.get(kind, (1, 1))
        data += bytes(-(-prod(shape) // block * width // 32) * 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + body + infos
    whole = head + bytes(-len(head) % 32) + data
    return whole[: len(whole) - cut]


def _entry(key: str, value: object) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return text(key) + struct.pack("<II", 4, value)
