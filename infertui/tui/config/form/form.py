"""The form: the values being edited, what they are compared with, and the way back."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from infertui.config import toml
from infertui.config.fields import FIELDS, Value, field_of
from infertui.config.parse import FlatValue, axis_key, build
from infertui.config.ranges import axis_values
from infertui.config.schema import Config
from infertui.config.sweep import Variant, expand
from infertui.errors import ConfigError
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.config import engines
from infertui.tui.config.form import values as texts
from infertui.tui.config.form.base import Base

EXPANDED_LIVE = 512
"""Sweeps up to so many runs are expanded, and each run checked, at every change; larger ones when they are queued."""
_MOST_UNDONE = 500
# Another value of these leaves other keys without a meaning.
_FITTING = ("engine.name", "engine.speculation")


class Contents(Struct, frozen=True):
    """What the form holds at one moment. `entry` is the place in the queue to which the config goes back, if any."""

    base: Base
    values: Mapping[str, FlatValue]
    entry: Entry | None = None


class Form:
    """Flat values under edit. Every change can be undone, loading something else included.

    Values are checked one by one as they are set (ConfigError); whether they agree with each other is `problem`.
    """

    def __init__(self, base: Base) -> None:
        self._now = Contents(base, dict(base.values))
        self._past: list[Contents] = []
        self._listeners: list[Callable[[], None]] = []
        self._judged: tuple[Contents, Config | None, list[Variant] | None, ConfigError | None] | None = None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the form holds something else."""
        self._listeners.append(listener)

    @property
    def base(self) -> Base:
        """What was loaded."""
        return self._now.base

    @property
    def values(self) -> Mapping[str, FlatValue]:
        """The values as they are now."""
        return self._now.values

    @property
    def entry(self) -> Entry | None:
        """The entry of the queue that is being edited."""
        return self._now.entry

    def load(
        self,
        base: Base,
        entry: Entry | None = None,
        *,
        values: Mapping[str, FlatValue] | None = None,
        only: bool = False,
    ) -> None:
        """Start from something else, with `values` in the place of its own; `only` those, and no others."""
        self._become(Contents(base, {**({} if only else base.values), **(values or {})}, entry))

    def take_entry(self, entry: Entry) -> None:
        """What is put back goes to this entry of the queue."""
        self._become(replace(self._now, entry=entry))

    def release(self) -> None:
        """The entry that was edited has what it needs: what is queued next is new."""
        self._become(replace(self._now, entry=None))

    def saved(self, base: Base) -> None:
        """The values are now those of a file."""
        self._become(replace(self._now, base=base))

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        if not self._past:
            return False
        self._now = self._past.pop()
        self._tell()
        return True

    # -- values

    def text(self, key: str) -> str:
        """What the line of `key` shows: its axis or its value; empty where there is neither."""
        return texts.shown(self.values, key) or ""

    def old_text(self, key: str, *, default: bool = False) -> str | None:
        """What the line of `key` showed when it was loaded, or what the default is; None where there was nothing."""
        if default:
            field = FIELDS.get(key)
            return None if field is None or isinstance(field.default, Mapping) else texts.value_text(field.default)
        return texts.shown(self.base.values, key)

    def changed(self, key: str, *, default: bool = False) -> bool:
        """Whether the line of `key` differs from what was loaded, or from the default."""
        if texts.shown(self.values, key) != self.old_text(key, default=default):
            return True
        return not default and texts.axis_path(self.values, key) != texts.axis_path(self.base.values, key)

    def origin(self, key: str) -> str:
        """Where the value came from: `default`, `preset demo`, `environment BATCH_SIZE`, or `edited`."""
        if self.changed(key):
            return "edited"
        return self.base.sources.get(texts.axis_path(self.values, key) or key, "")

    def all_keys(self) -> Iterator[str]:
        """Every key with a line, labels last; those that were loaded and are gone included."""
        yield from (path for path, field in FIELDS.items() if not field.is_table)
        yield from dict.fromkeys(
            key for path in (*self.values, *self.base.values) if (key := axis_key(path) or path).startswith("labels.")
        )

    def edit_path(self, key: str) -> str:
        """The path that an edit of the line of `key` concerns: its axis if it is swept."""
        return texts.axis_path(self.values, key) or key

    def check(self, key: str, text: str) -> FlatValue:
        """The value that `text` in the line of `key` stands for. Raises ConfigError."""
        return texts.parse(self.edit_path(key), text)

    def set_text(self, key: str, text: str) -> None:
        """Take over what was typed into the line of `key`. Raises ConfigError."""
        if text != texts.shown(self.values, key):
            self._put(self.edit_path(key), self.check(key, text))

    def set(self, key: str, value: Value) -> str:
        """Give `key` a value; an axis over it ends. Raises ConfigError.

        Another engine puts options that it does not take back to their defaults; returns what is to be said of that.
        """
        field = field_of(key)
        assert field is not None  # noqa: S101
        checked = value if field.is_table else field.check(value)
        without = {path: old for path, old in self.values.items() if axis_key(path) != key}
        values: dict[str, FlatValue] = {**without, key: checked}
        if key not in _FITTING:
            self._change(values)
            return ""
        values, lost = engines.fitted(values)
        self._change(values)
        return engines.reset_note(key, str(checked), lost)

    def reset(self, key: str) -> bool:
        """Back to what was loaded; False where nothing changed. A label of one's own goes away."""
        if not self.changed(key):
            return False
        values = {path: value for path, value in self.values.items() if (axis_key(path) or path) != key}
        loaded = {path: value for path, value in self.base.values.items() if (axis_key(path) or path) == key}
        self._change(engines.fitted(values | loaded)[0] if key in _FITTING else values | loaded)
        return True

    def remove(self, key: str) -> None:
        """Take a label away, and an axis over it."""
        self._change({path: value for path, value in self.values.items() if (axis_key(path) or path) != key})

    def add_label(self, text: str) -> str:
        """A label from `key = value`; its path. Raises ConfigError."""
        path, value = texts.label_of(text)
        self._put(path, value)
        return path

    # -- the sweep

    def axes(self) -> list[str]:
        """The keys that are swept, the grid's before those that advance together."""
        return [axis_key(path) for table in texts.SWEEPS for path in self.values if path.startswith(f"{table}.")]

    def is_swept(self, key: str) -> bool:
        """Whether there is an axis over `key`."""
        return bool(texts.axis_path(self.values, key))

    def axis_length(self, key: str) -> int:
        """How many values the axis over `key` has; 0 without one."""
        path = texts.axis_path(self.values, key)
        axis = self.values[path] if path else []
        return len(axis_values(key, axis)) if path else 0

    def sweep(self, key: str) -> None:
        """Make `key` an axis, of its present value alone for now; it joins the axes that there are."""
        table = "sweep.zip" if self.arrangement == "zip" else "sweep.grid"
        value = self.values.get(key, "")
        self._put(f"{table}.{key}", value if isinstance(value, list) else [value])

    def unsweep(self, key: str) -> None:
        """Give `key` its plain value back."""
        self._change({path: value for path, value in self.values.items() if axis_key(path) != key})

    @property
    def arrangement(self) -> str:
        """How the axes combine: `grid`, `zip`, `mixed`, or empty without axes."""
        tables = {table for table in texts.SWEEPS for path in self.values if path.startswith(f"{table}.")}
        return "mixed" if len(tables) == 2 else next((table.rpartition(".")[2] for table in tables), "")

    def rearrange(self) -> None:
        """Every combination of the axes, or all of them together: the one that is not now."""
        if not (now := self.arrangement):
            return
        table = "sweep.zip" if now == "grid" else "sweep.grid"
        self._change(
            {f"{table}.{key}" if (key := axis_key(path)) else path: value for path, value in self.values.items()}
        )

    # -- the whole

    @property
    def problem(self) -> ConfigError | None:
        """Why these values cannot run together; None when they can."""
        return self._judge()[3]

    def config(self) -> Config:
        """The config. Raises ConfigError where values contradict each other."""
        _, config, _, problem = self._judge()
        if config is None or problem is not None:
            raise problem or ConfigError("", "there is no config")
        return config

    def variants(self) -> list[Variant] | None:
        """The runs that it makes; None when they are too many to be worked out at every change, or contradictory."""
        return self._judge()[2]

    def run_count(self) -> int:
        """How many runs it makes; 0 where that cannot be said."""
        _, config, variants, _ = self._judge()
        if variants is not None:
            return len(variants)
        return _count(config) if config is not None else 0

    def toml(self) -> str:
        """The config as a file, complete and with comments. Raises ConfigError as `config` does."""
        return toml.write(self.config())

    def _judge(self) -> tuple[Contents, Config | None, list[Variant] | None, ConfigError | None]:
        if self._judged is None or self._judged[0] is not self._now:
            config, variants, problem = None, None, None
            try:
                config = build(self.values)
                variants = expand(config) if _count(config) <= EXPANDED_LIVE else None
            except ConfigError as error:
                problem = error
            self._judged = (self._now, config, variants, problem)
        return self._judged

    def _put(self, path: str, value: FlatValue) -> None:
        self._change({**self.values, path: value})

    def _change(self, values: Mapping[str, FlatValue]) -> None:
        if values != self.values or list(values) != list(self.values):
            self._become(replace(self._now, values=values))

    def _become(self, contents: Contents) -> None:
        self._past = [*self._past[1 - _MOST_UNDONE :], self._now]
        self._now = contents
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _count(config: Config) -> int:
    """How many runs a config makes, without working them out."""
    count = 1
    for key, axis in config.sweep.grid.items():
        count *= len(axis_values(key, axis))
    for key, axis in config.sweep.zip.items():
        return count * len(axis_values(key, axis))
    return count
