"""Programs of the user's that a runner starts when what was queued together has ended, whoever looks on.

They stand in `hooks.toml` in the config directory, are started without a shell, and are told what happened in variables
of their environment and as JSON on standard input. Nothing that comes from a run is ever part of a command.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.config.toml_text import loads
from infertui.errors import ConfigError
from infertui.paths import config_dir
from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.scheduling.studies import Study, fates
from infertui.text import clean, one_line

FILE = "hooks.toml"
MAX_BYTES = 64 << 10
MOST_HOOKS = 20
LIMIT_S = 30.0
"""After so long a hook is killed with all that it started."""
MOST_AT_ONCE = 4
MOST_WAITING = 100
CLOSE_S = 5.0
"""A runner that ends waits so long for its hooks."""
LONGEST = 2000
"""Characters of a variable."""
_log = logging.getLogger(__name__)

HookEvent = Literal["study", "run"]
"""`study`: all that was queued together has ended, a run alone being one too. `run`: any run has."""


class Hook(Struct, frozen=True, forbid_unknown_fields=True):
    """A program and its arguments, and when it is started."""

    command: tuple[str, ...]
    on: HookEvent = "study"


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    hook: tuple[Hook, ...] = ()


def read_hooks(environ: Mapping[str, str] = os.environ) -> tuple[Hook, ...]:
    """The user's hooks; none without a file. Raises ConfigError for one that cannot be used."""
    path = config_dir(environ) / FILE
    try:
        content = regular_files.read(path, MAX_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(FILE, f"cannot be read: {one_line(error)}") from None
    try:
        found = msgspec.convert(loads(content, FILE), _File)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        allowed = 'tables [[hook]] with command = ["PROGRAM", "ARGUMENT"] and on = "study" or "run"'
        raise ConfigError(FILE, f"is not as it should be: {one_line(error)}", allowed=allowed) from None
    if len(found.hook) > MOST_HOOKS:
        raise ConfigError(FILE, f"holds {len(found.hook)} hooks", allowed=f"up to {MOST_HOOKS}")
    for hook in found.hook:
        if not hook.command or not hook.command[0] or any("\0" in part for part in hook.command):
            raise ConfigError(FILE, "a command is empty", allowed='a list such as ["/home/me/bin/tell"]')
    return found.hook


class HookFacts(Struct, frozen=True):
    """What a hook is told, as JSON; every text is one harmless line. Throughput is in output tokens a second."""

    event: HookEvent
    text: str
    """What happened, as a toast says it."""
    label: str
    severity: str
    counts: dict[str, int]
    """Runs by what became of them: ok, invalid, failed and so on."""
    entries: tuple["HookEntry", ...]


class HookEntry(Struct, frozen=True):
    """One run of those."""

    id: int
    label: str
    state: str
    valid: bool | None
    run: str
    folder: str
    throughput: float | None
    reason: str


def facts_of(event: HookEvent, study: Study) -> HookFacts:
    """What is told of entries that have ended."""
    entries = tuple(
        HookEntry(
            entry.id, clean(entry.label), entry.state, entry.valid, clean(entry.run),
            clean(str(Path(entry.out) / entry.run)) if entry.run else "", entry.throughput, clean(entry.reason),
        )
        for entry in study.entries
    )  # fmt: skip
    counts = {str(one): count for one, count in fates(study.entries).items()}
    return HookFacts(event, study.text, study.label, study.severity, counts, entries)


def variables(facts: HookFacts) -> dict[str, str]:
    """The same for whoever reads no JSON; of several runs those of the last one."""
    last = facts.entries[-1]
    return {
        "INFERTUI_EVENT": facts.event,
        "INFERTUI_TEXT": one_line(facts.text, LONGEST),
        "INFERTUI_LABEL": one_line(facts.label, LONGEST),
        "INFERTUI_SEVERITY": facts.severity,
        "INFERTUI_STATE": last.state,
        "INFERTUI_VALID": {None: "", True: "yes", False: "no"}[last.valid],
        "INFERTUI_RUN": last.run,
        "INFERTUI_FOLDER": last.folder,
        "INFERTUI_THROUGHPUT": "" if last.throughput is None else f"{last.throughput:.6g}",
    }


class Hooks:
    """Starts hooks, and sees that none of them outlives its time. `ended` never waits.

    The file is read each time: what is changed there counts from then on.
    """

    def __init__(
        self,
        read: Callable[[], tuple[Hook, ...]] = read_hooks,
        *,
        fault: Callable[[str], None] = lambda _: None,
        limit_s: float = LIMIT_S,
    ) -> None:
        """`fault` is told what is wrong with the file."""
        self._read = read
        self.fault = fault
        self._limit_s = limit_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    def ended(self, entries: Sequence[Entry], *ids: int) -> None:
        """Those of the queue's entries with these ids have ended, together."""
        for group in dict.fromkeys(entry.group for entry in entries if entry.id in ids):
            study = Study(tuple(entry for entry in entries if entry.group == group))
            runs = [facts_of("run", Study((one,))) for one in study.entries if one.id in ids and one.run]
            told = any(one.run or one.state == "refused" for one in study.entries)
            found = [*runs, *([facts_of("study", study)] if study.over and told else [])]
            if found and len(self._tasks) < MOST_WAITING:
                task = asyncio.create_task(self._start(found))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give those under way a moment, then end them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _start(self, found: Sequence[HookFacts]) -> None:
        try:
            hooks = await asyncio.to_thread(self._read)
        except ConfigError as error:
            self.fault(error.message)
            return
        async with self._room:
            for hook, facts in product(hooks, found):
                if hook.on == facts.event:
                    await self._run(hook, facts)

    async def _run(self, hook: Hook, facts: HookFacts) -> None:
        name = one_line(hook.command[0], 80)
        try:
            process = await asyncio.create_subprocess_exec(
                *hook.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, env=os.environ | variables(facts), start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            _log.warning("the hook %s cannot be started: %s", name, one_line(error))
            return
        try:
            async with asyncio.timeout(self._limit_s):
                await process.communicate(msgspec.json.encode(facts))
        except TimeoutError:
            _log.warning("the hook %s was killed after %g s", name, self._limit_s)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode and process.returncode > 0:
            _log.warning("the hook %s ended with status %d", name, process.returncode)
