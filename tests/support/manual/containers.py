"""The profiles of compose.yaml: what each is for, as the comment above it says, and what it runs."""

import re
from pathlib import Path

import yaml
from support.manual.markdown import code, table

_COMPOSE = Path(__file__).parents[3] / "compose.yaml"
_SAID = re.compile(r"^((?:  # .*\n)+)  ([\w-]+):$", re.MULTILINE)


def profile_table() -> str:
    """A line a profile."""
    text = _COMPOSE.read_text(encoding="utf-8")
    about = {name: " ".join(said.replace("#", " ").split()).rstrip(".") for said, name in _SAID.findall(text)}
    rows = []
    for name, service in yaml.safe_load(text)["services"].items():
        if "build" not in service:  # another program's image
            continue
        words = [re.sub(r"\$\{(\w+)[^}]*\}", r"\1", word) for word in service["command"]]
        runs = code(f"infertui {' '.join(words)}") if "entrypoint" not in service else "a shell" if not words else ""
        image = "TensorRT-LLM" if service["build"].get("dockerfile") else "CPU" if name == "cpu" else "usual"
        rows.append(
            (
                code(name),
                about[name],
                runs or code("infertui build MODEL_ID"),
                image,
                "yes" if "deploy" in service else "",
            )
        )
    return table(("profile", "is for", "runs", "image", "GPU"), rows)
