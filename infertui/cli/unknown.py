"""What to say to a command that there is not: which one does what its name asks for.

Other programs have words of their own for what is a command, an option or a table here. Where a word is none of these,
the nearest command is named, but only a near one.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from infertui.cli.help import COMMAND_GROUPS, CommandGroup, group_of_command
from infertui.errors import UsageError
from infertui.text import quoted

_LONGEST = 60
_BY_PURPOSE = {
    "infertui run TARGET --sweep KEY=LIST": "sweep sweeps grid matrix vary search explore",
    "infertui run, or infertui bench for several in turn": "benchmark measure test perf throughput latency generate",
    "infertui results": "list ls runs history table show log logs summary result",
    "infertui compare": "compare-runs diff vs versus regress regression check-regression",
    "infertui gpus --watch": "monitor top watch nvtop nvidia-smi gpu gpu-stats telemetry smi nvidia",
    "infertui models pull ID": "fetch get install hub",
    "infertui models": "model ls-models",
    "infertui engines": "engine backends backend",
    "infertui config presets": "preset presets configs templates init new",
    "infertui config show": "settings env options keys",
    "infertui": "tui ui screen open dashboard gui cockpit start-ui",
    "infertui serve": "start daemon server runner host",
    "infertui exporter": "metrics prometheus grafana dcgm dcgm-exporter scrape openmetrics",
    "infertui stop": "kill quit shutdown exit down",
    "infertui status": "queue ps state jobs",
    "infertui run TARGET --queue": "enqueue submit queue-run schedule",
    "infertui advise": "recommend suggest best advice optimize optimise",
    "infertui profile MODEL": "offload layers n-gpu-layers gpu-layers",
    "infertui cost": "price prices pricing money tco",
    "infertui report": "plot plots chart charts html markdown document",
    "infertui run reports/RUN_ID/run.toml": "repeat replay rerun reproduce",
    "infertui doctor": "check diagnose info capabilities health",
    "infertui build MODEL": "compile trtllm-build",
    "infertui run TARGET --quantization NAME": "quantize quantise convert",
    "infertui recompute": "rejudge recalculate refresh",
    "infertui audit FILE": "analyze analyse workload trace traces",
    "infertui load URL": "loadtest load-test stress hammer endpoint bench-serve serve-bench",
    "infertui capacity URL --slo TERMS": "slo knee saturation saturate max-load goodput",
    "infertui mock-server": "mock fake-server simulator-server",
    "infertui tune": "tuning turn live-tune autotune auto-tune",
    "infertui --help": "help commands usage",
    "infertui --version": "version about",
}
HINTS: Mapping[str, str] = {word: hint for hint, words in _BY_PURPOSE.items() for word in words.split()}
"""Words of other programs, and what does that here."""


class Commands(CommandGroup):
    """The commands of infertui; for an unknown one it says which is meant."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None where there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.rich_help_panel = command.rich_help_panel or group_of_command(cmd_name)
        return command

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, by groups."""
        order = {name: at for at, name in enumerate(" ".join(COMMAND_GROUPS.values()).split())}
        return sorted(super().list_commands(ctx), key=lambda name: order.get(name, len(order)))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that was typed. Raises UsageError for one that there is not."""
        if args and not ctx.resilient_parsing and not args[0].startswith("-") and not self.get_command(ctx, args[0]):
            shown = [name for name, command in self.commands.items() if not command.hidden]
            raise unknown_command(args[0], shown)
        return super().resolve_command(ctx, args)


def unknown_command(word: str, commands: Sequence[str]) -> UsageError:
    """The error for a command that there is not, with what may be meant by it."""
    return UsageError(f"there is no command {quoted(word, _LONGEST)}", remedy=_remedy(word, commands))


def _remedy(word: str, commands: Sequence[str]) -> str:
    from infertui.config.sources import names, names_model

    plain = word[:_LONGEST].lower().replace("_", "-")
    if plain in commands:
        return f"Did you mean infertui {plain}?"
    if hint := HINTS.get(plain):
        return f"That is: {hint}"
    if word in names() or word.endswith(".toml") or names_model(word):
        return f"To measure that: infertui run {quoted(word, _LONGEST)[1:-1]}"
    near = difflib.get_close_matches(plain, [*commands, *HINTS], n=1, cutoff=0.75)
    if near:
        return f"Did you mean infertui {near[0]}?" if near[0] in commands else f"Perhaps: {HINTS[near[0]]}"
    return "`infertui --help` lists the commands."
