"""`infertui run --queue`: hand configurations to the runner, and leave."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from infertui.cli.output import say, say_json
from infertui.config.sweep import Variant
from infertui.runner.control import Submission
from infertui.server.spawn import ensure_running
from infertui.terminal_text import clean


def enqueue(variants: Sequence[Variant], *, title: str, out: Path, as_json: bool) -> None:
    """Queue the variants as one group, starting a runner where none runs, and print the ids of their entries."""
    ids = asyncio.run(_submit(Submission(title, tuple(variants), str(out.absolute()))))
    if as_json:
        say_json({"ids": ids})
        return
    for number, variant in zip(ids, variants, strict=True):
        say(f"#{number} {clean(f'{title} {variant.name}').strip()}")
    say("`infertui` shows the queue, `infertui status` what runs.")


async def _submit(submission: Submission) -> tuple[int, ...]:
    client = await ensure_running()
    return await client.submit(submission)
