"""Where prompts come from: bundled sets, files, or nowhere (random token ids)."""

from pathlib import Path

import msgspec
from msgspec import Struct

from infertui import resources
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.terminal_text import clean
from infertui.workloads.files import read_text

MAX_FILE_BYTES = 1 << 30

_KEY = "workload.prompts_file"


def load_prompts(workload: WorkloadConfig) -> tuple[str, ...]:
    """The texts of a workload, in order; empty for random token ids. Raises ConfigError for an unusable file."""
    if workload.prompts_file:
        return read_prompts(Path(workload.prompts_file))
    if workload.prompts == "random":
        return ()
    return _parse_lines((resources.data() / f"prompts_{workload.prompts}.txt").read_text(encoding="utf-8"))


def read_prompts(path: Path) -> tuple[str, ...]:
    """Prompts of a file: one a line, or JSON objects with a `prompt` field in a `.jsonl` or `.ndjson` file.

    `~` is the home directory. Raises ConfigError for a file that cannot be read or holds no prompt.
    """
    name = clean(str(path))
    text = read_text(_KEY, path, limit=MAX_FILE_BYTES, allowed="a text or JSONL file of prompts")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    prompts = _parse_jsonl(text, name) if path.suffix in (".jsonl", ".ndjson") else _parse_lines(text)
    if not prompts:
        raise ConfigError(_KEY, f"{name} holds no prompt", allowed="one prompt a line")
    return prompts


def _parse_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())


class _Row(Struct):
    prompt: str


def _parse_jsonl(text: str, name: str) -> tuple[str, ...]:
    # msgspec refuses halves of surrogate pairs, which JSON can spell but no tokenizer and no file can take.
    decoder = msgspec.json.Decoder(_Row | str)
    prompts = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
            prompt = row if isinstance(row, str) else row.prompt
        except msgspec.ValidationError:
            prompt = ""
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(_KEY, f"{name}, line {number} is not JSON ({clean(str(error))})") from error
        if not prompt:
            raise ConfigError(
                _KEY, f"{name}, line {number} has no prompt", allowed='objects with a "prompt" text, or plain strings'
            )
        prompts.append(prompt)
    return tuple(prompts)
