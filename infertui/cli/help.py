"""How help is laid out: commands by what they are for, the options of large commands by what they are about."""

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup, TyperOption

COMMAND_GROUPS: Mapping[str, str] = {
    "Measure": "run bench pipeline profile tune load capacity external",
    "Read results": "results compare advise report cost export import recompute",
    "This machine": "doctor gpus engines models calibrate build",
    "The runner": "serve attach status stop exporter",
    "Prepare": "config audit mock-server",
}
"""Commands by what they are for."""
_OPTION_GROUPS: Mapping[str, str] = {
    "Target": "model engine dtype mode attention quantization speculation draft-model tensor-parallel engine-python "
    "fallback device profile engines baseline serve serve-args api tokenizer api-key-env api-key-file header body "
    "no-stream ctx vram-ceiling",
    "Work": "batch-size batch input-len output-len prompts-file num-prompts temperature top-p seed trace "
    "shared-prefix turns",
    "Load and objectives": "concurrency request-rate arrival burstiness ramp steps slo attainment",
    "Measurement": "iterations warmup min-seconds max-seconds rounds repeat budget segment-seconds most-seconds "
    "until-clear stay max-stays tolerance by start min max layers quick full",
    "Settings": "set sweep vary label turn script climb config gpu-settings server-settings",
    "Results": "out report save-json json ui markdown fail-if equal-within with-invalid pin continue name charts anew "
    "ascii kept",
}
_LARGE = 20
"""Options from which on a command has them in groups."""
_KNOWN = 0.7
"""Least share of them that has a group here, for it to have groups at all."""


class CommandGroup(TyperGroup):
    """A group of commands whose help is laid out."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its own options."""
        params = super().get_params(ctx)
        _lay_out(params)
        return params

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None where there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _lay_out(command.get_params(ctx))
        return command


def group_of_command(name: str) -> str | None:
    """The heading that a command stands under; None for one that is not listed."""
    return next((group for group, names in COMMAND_GROUPS.items() if name in names.split()), None)


def _lay_out(params: Sequence[Any]) -> None:
    """Put options under headings where there are many, and leave out the types of switches, which say nothing."""
    options = [param for param in params if isinstance(param, TyperOption)]
    for option in options:
        if option.is_flag:
            option.metavar = ""
    groups = {option.name: _group_of_option(option.opts) for option in options}
    if len(options) < _LARGE or sum(1 for group in groups.values() if group) < _KNOWN * len(options):
        return
    for option in options:
        option.rich_help_panel = option.rich_help_panel or groups[option.name]


def _group_of_option(names: Sequence[str]) -> str | None:
    plain = {name.lstrip("-") for name in names}
    return next((group for group, words in _OPTION_GROUPS.items() if not plain.isdisjoint(words.split())), None)
