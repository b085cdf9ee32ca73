"""Where prompts come from: bundled sets, files, or nowhere (random token ids)."""

from pathlib import Path

from infertui import paths
from infertui.config.schema import WorkloadConfig
from infertui.errors import ConfigError
from infertui.load.files import read_text
from infertui.load.promptfiles import PromptFile
from infertui.text import clean

MAX_FILE_BYTES = 1 << 30

_KEY = "workload.prompts_file"


def load_prompts(workload: WorkloadConfig) -> tuple[str, ...]:
    """The texts of a workload, in order; empty for random token ids. Raises ConfigError for an unusable file."""
    if workload.prompts_file:
        return read_prompts(Path(workload.prompts_file))
    if workload.prompts == "random":
        return ()
    bundled = (paths.data() / f"prompts_{workload.prompts}.txt").read_text(encoding="utf-8")
    return PromptFile(_KEY, bundled, workload.prompts).lines()


def read_prompts(path: Path) -> tuple[str, ...]:
    """Prompts of a file; what it is, its content says: see `PromptFile`. `~` is the home directory.

    Raises ConfigError for a file that cannot be read, holds no prompt, or is of a form that is not known.
    """
    name = clean(str(path))
    text = read_text(_KEY, path, limit=MAX_FILE_BYTES, allowed="a text, JSON, JSONL or CSV file of prompts")
    prompts = PromptFile(_KEY, text, name, suffix=path.suffix.lower()).prompts()
    if not prompts:
        raise ConfigError(_KEY, f"{name} holds no prompt", allowed="one prompt a line")
    return prompts
