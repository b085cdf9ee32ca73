"""Where prompts come from: bundled sets, files, or nowhere (random token ids)."""

import json
from pathlib import Path

from infertui import resources
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError

MAX_FILE_BYTES = 1 << 30


def load_prompts(workload: WorkloadConfig) -> tuple[str, ...]:
    """The texts of a workload, in order; empty for random token ids. Raises ConfigError for an unusable file."""
    if workload.prompts_file:
        return read_prompts(Path(workload.prompts_file).expanduser())
    if workload.prompts == "random":
        return ()
    return _parse_lines((resources.data() / f"prompts_{workload.prompts}.txt").read_text(encoding="utf-8"))


def read_prompts(path: Path) -> tuple[str, ...]:
    """Prompts of a file: one a line, or JSON objects with a `prompt` field in a `.jsonl` file."""
    key = "workload.prompts_file"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(key, f"{path} is larger than 1 GiB", allowed="a text or JSONL file of prompts")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(key, f"cannot read {path}: {error.strerror}", allowed="a readable file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(key, f"{path} is not UTF-8 text (byte {error.start})", allowed="UTF-8 text") from error
    prompts = _parse_jsonl(text, path) if path.suffix in (".jsonl", ".ndjson") else _parse_lines(text)
    if not prompts:
        raise ConfigError(key, f"{path} holds no prompt", allowed="one prompt a line")
    return prompts


def _parse_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())


def _parse_jsonl(text: str, path: Path) -> tuple[str, ...]:
    prompts = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError("workload.prompts_file", f"{path}, line {number} is not JSON") from error
        prompt = row.get("prompt") if isinstance(row, dict) else row
        if not isinstance(prompt, str) or not prompt:
            raise ConfigError(
                "workload.prompts_file",
                f"{path}, line {number} has no prompt",
                allowed='objects with a "prompt" text, or plain strings',
            )
        prompts.append(prompt)
    return tuple(prompts)
