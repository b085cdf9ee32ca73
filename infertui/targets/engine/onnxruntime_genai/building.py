"""The process in which the library's model builder works: `python -m ... ORDER`, an OnnxOrder in JSON.

What goes wrong is the last word on the standard output; all else goes to the standard error.
"""

import contextlib
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from infertui.targets.engine.onnxruntime_genai.conversion import OnnxOrder
from infertui.text import error_text

_STAGED = "source"
# The builder wants a token that ends texts; the engine names another one when it loads.
_NAMED_IDS = {"bos_token_id": 0, "eos_token_id": 0}


def build(order: OnnxOrder) -> None:
    """Make what is ordered, in its target, which is there and empty. Raises what the builder raises."""
    target = Path(order.target)
    staged = target / _STAGED
    try:
        staged.mkdir()
        _stage(order, staged)
        _build(order, staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Make what is ordered; 0 where it was made."""
    answer = os.dup(1)
    os.dup2(2, 1)  # the builder and its libraries print as they go
    try:
        build(msgspec.json.decode(arguments[0], type=OnnxOrder))
    except Exception as error:  # noqa: BLE001 (told in one line, and in full to the log)
        traceback.print_exc()
        os.write(answer, error_text(error, 400).encode())
        return 1
    return 0


def _stage(order: OnnxOrder, folder: Path) -> None:
    """A checkpoint's folder with what the builder reads: config, weights, and a tokenizer that it copies.

    The tokenizer is none: prompts come as token ids. What the checkpoint says of sampling is left out.
    """
    if order.files:
        config = msgspec.json.decode(Path(order.config).read_bytes(), type=dict[str, Any])
        for path in order.files:
            (folder / Path(path).name).symlink_to(Path(path).resolve())
    else:
        config = _drawn(order, folder)
    config.pop("auto_map", None)
    config["architectures"] = [order.architecture]
    config |= {name: id_ for name, id_ in _NAMED_IDS.items() if config.get(name) is None}
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    _save_tokenizer(folder)


def _drawn(order: OnnxOrder, folder: Path) -> dict[str, Any]:
    """Random weights, drawn as the engine transformers draws them on a CPU; the config as saved with them."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(order.config, local_files_only=True)
    print(f"drawing random weights in {order.dtype}", flush=True)  # noqa: T201 (to the log: it takes most of the time)
    torch.manual_seed(order.seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, order.dtype))
    model.save_pretrained(folder)
    with contextlib.suppress(FileNotFoundError):
        (folder / "generation_config.json").unlink()
    return msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])


def _save_tokenizer(folder: Path) -> None:
    import tokenizers
    import transformers

    empty = tokenizers.Tokenizer(tokenizers.models.BPE({"?": 0}, []))
    transformers.PreTrainedTokenizerFast(tokenizer_object=empty).save_pretrained(folder)


def _build(order: OnnxOrder, staged: Path, target: Path) -> None:
    from onnxruntime_genai.models import builder

    asked = [f"{key}={value}" for key, value in {"hf_token": "false", **order.options}.items()]
    paths = ("", str(staged), str(target), order.precision, order.provider, str(staged))
    options = builder.parse_extra_options(*paths, asked)
    builder.create_model(*paths, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
