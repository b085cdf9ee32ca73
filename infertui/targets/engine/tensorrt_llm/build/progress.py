"""What the output of the conversion and of `trtllm-build` says of how far they are. Pure."""

import re
from typing import Literal

from msgspec import Struct

from infertui.text import one_line

_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)*")
_PERCENT = re.compile(r"(\d{1,3})%\|")
_BUILD = (
    (re.compile(r"Set \w+_plugin to|Set \w+ to "), "configuring"),
    (re.compile(r"Total time of constructing network"), "network constructed"),
    (re.compile(r"Build TensorRT engine"), "compiling kernels"),
    (re.compile(r"Engine generation completed in ([\d.]+) seconds"), "engine compiled"),
    (re.compile(r"Serializing engine to .*?rank(\d+)\.engine"), "writing the engine"),
    (re.compile(r"Engine serialized"), "engine written"),
    (re.compile(r"Total time of building all engines"), "done"),
)
_CONVERT = (
    (re.compile(r"Loading checkpoint shards|Loading weights"), "loading the checkpoint"),
    (re.compile(r"Weights loaded"), "checkpoint loaded"),
    (re.compile(r"Calibrat|calib"), "calibrating"),
    (re.compile(r"Quantization done"), "quantized"),
    (re.compile(r"Quantized model exported|Exporting|Total time of converting"), "writing the checkpoint"),
)


class BuildProgress(Struct, frozen=True):
    """Where a build is. `fraction` is of the current stage, None where nothing says it; `elapsed_s` of the step."""

    step: Literal["convert", "build"]
    stage: str
    fraction: float | None
    elapsed_s: float
    line: str = ""


class Reader:
    """Takes the output of a step line by line."""

    def __init__(self, step: Literal["convert", "build"], ranks: int) -> None:
        self._step = step
        self._ranks = ranks
        self._written = 0
        self._stage = "starting"
        self._fraction: float | None = None
        self._line = ""

    def take(self, line: str) -> None:
        """Read a line."""
        self._line = one_line(line.strip(), 300) or self._line
        for pattern, stage in _BUILD if self._step == "build" else _CONVERT:
            if pattern.search(line):
                if stage != self._stage:
                    self._fraction = None
                self._stage = stage
                if stage == "engine written":
                    self._written += 1
                    if self._ranks > 1:
                        self._stage = f"engine {self._written} of {self._ranks} written"
                break
        if percent := _PERCENT.search(line):
            self._fraction = min(1.0, int(percent[1]) / 100)

    def now(self, elapsed_s: float) -> BuildProgress:
        """How far it is."""
        return BuildProgress(self._step, self._stage, self._fraction, elapsed_s, self._line)


def reason(lines: list[str]) -> str:
    """What a failed step's last lines say was wrong: the last line that names an error, else the last."""
    told = [one_line(_PREFIX.sub("", line.strip()), 400) for line in lines if line.strip()]
    errors = [
        line for line in told if re.match(r"(\w+\.)*\w*(Error|Exception|Interrupt)\b", line) or "[E]" in line
    ]  # fmt: skip
    return (errors or told or [""])[-1]
