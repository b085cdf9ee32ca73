"""`infertui run --queue`: hand configurations to the runner, and leave."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from infertui.api.client import Client
from infertui.api.remote.place import given, reports_there
from infertui.api.spawn import ensure_running
from infertui.cli.flags import REPORTS
from infertui.cli.output import say, say_json
from infertui.config.sweep import Variant
from infertui.errors import UsageError
from infertui.runner.control import Submission
from infertui.runner.scheduling.queue_store import Entry
from infertui.text import clean


def enqueue(variants: Sequence[Variant], *, title: str, out: Path, as_json: bool) -> None:
    """Queue the variants as one group, starting a runner where none runs, and print the ids of their entries.

    Where the environment names a runner on TCP they are queued there, and `out` is a folder of its machine.
    Raises UsageError in the end where some of them are refused; the others are queued.
    """
    entries = asyncio.run(_submit(title, tuple(variants), out, str(out.absolute())))
    refused = [entry for entry in entries if entry.state == "refused"]
    if as_json:
        reasons = {str(entry.id): entry.reason for entry in refused}
        say_json({"ids": [entry.id for entry in entries]} | ({"refused": reasons} if refused else {}))
    else:
        for entry in entries:
            told = f" is refused: {clean(entry.reason)}" if entry.state == "refused" else ""
            say(f"#{entry.id} {clean(entry.label)}{told}")
        say("`infertui` shows the queue, `infertui status` what runs.")
    if refused:
        raise UsageError(
            f"{len(refused)} of {len(entries)} runs are refused, #{refused[0].id} for one: {clean(refused[0].reason)}"
        )


async def _submit(title: str, variants: tuple[Variant, ...], out: Path, here: str) -> list[Entry]:
    if remote := given(os.environ):
        client = Client(remote)
        named = "" if out == REPORTS else str(out)
        folder = reports_there(named, (await client.hello()).reports)
    else:
        client, folder = await ensure_running(), here
    ids = set(await client.submit(Submission(title, variants, folder)))
    return [entry for entry in (await client.snapshot()).entries if entry.id in ids]
