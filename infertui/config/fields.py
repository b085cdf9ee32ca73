"""The schema as a flat table: every key of a config by its dotted path, with its type, limits and default.

Built from the annotations in `schema`, so that a key is described once. Everything that shows, reads or checks a
single key (files, flags, environment, forms) goes through here.
"""

import datetime as dt
import difflib
import re
import typing
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct, inspect

from infertui.config.engines.registry import SPECS, engine_called
from infertui.config.engines.registry import words as option_words
from infertui.config.schema import DTYPE_ALIASES, Config, Dtype
from infertui.errors import ConfigError
from infertui.text import one_line, quoted

FieldType = Literal["integer", "number", "boolean", "text", "choice", "labels", "axes"]
Value = bool | int | float | str

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_INTEGER = re.compile(r"[+-]?[0-9](?:_?[0-9]){0,30}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_SEVERAL = re.compile(r"[0-9]\s*[,-]\s*[0-9]")
_LONGEST_KEY = 100
# What other tools call our keys: they are too far from ours for a comparison of letters.
_OTHER_NAMES = {
    "batch": "workload.batch_size",
    "bs": "workload.batch_size",
    "max_concurrency": "load.concurrency",
    "rate": "load.request_rate",
    "rps": "load.request_rate",
    "qps": "load.request_rate",
    "goodput": "load.slo",
    "base_url": "target.url",
    "api_key": "target.api_key_env",
    "isl": "workload.input_len",
    "prompt_len": "workload.input_len",
    "prompt_tokens": "workload.input_len",
    "osl": "workload.output_len",
    "max_tokens": "workload.output_len",
    "max_new_tokens": "workload.output_len",
    "new_tokens": "workload.output_len",
    "prompt_file": "workload.prompts_file",
    "n": "workload.num_prompts",
    "runs": "measurement.iterations",
    "repeats": "measurement.iterations",
    "repetitions": "measurement.iterations",
    "model": "model.id",
    "model_id": "model.id",
    "model_name": "model.id",
    "path": "model.id",
    "backend": "engine.name",
    "engine": "engine.name",
    "precision": "engine.dtype",
    "data_type": "engine.dtype",
    "torch_dtype": "engine.dtype",
    "attn_implementation": "engine.attention",
    "quant": "engine.quantization",
    "quantisation": "engine.quantization",
    "execution": "engine.mode",
    "compile": "engine.mode",
    "cuda_graph": "engine.mode",
    "cuda_graphs": "engine.mode",
    "enforce_eager": "engine.mode",
    "tp": "engine.tensor_parallel",
    "tensor_parallel_size": "engine.tensor_parallel",
    "speculative": "engine.speculation",
    "speculative_model": "engine.draft_model",
    "assistant_model": "engine.draft_model",
    "num_assistant_tokens": "engine.draft_tokens",
    "ngl": "engine.llama_cpp.n_gpu_layers",
    "interpreter": "engine.python",
    "venv": "engine.python",
    "gpu": "device.name",
    "device": "device.name",
    "timeout": "measurement.total_timeout_s",
}


class Field(Struct, frozen=True, kw_only=True):
    """One key of a config. `type` `labels` and `axes` are tables of free keys, every other type is one value."""

    path: str
    type: FieldType
    default: Value | Mapping[str, object]
    description: str
    choices: tuple[str, ...] = ()
    """The words allowed: all there is for a `choice`, besides numbers for an `integer` such as `4` or `auto`."""
    aliases: Mapping[str, str] = {}
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False
    """The minimum itself is not allowed."""
    pattern: str = ""
    allowed: str = ""
    is_path: bool = False
    """Text that names a file or folder: relative ones are seen from the current folder (`extra={"path": True}`)."""

    @property
    def section(self) -> str:
        """The dotted table that the key stands in: `workload`; empty for `labels`."""
        return self.path.rpartition(".")[0]

    @property
    def key(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def is_table(self) -> bool:
        """True for `labels` and the sweep's axes."""
        return self.type in ("labels", "axes")

    @property
    def limits(self) -> str:
        """`allowed` with the other spellings that are understood."""
        return self.allowed + (f" (also {', '.join(self.aliases)})" if self.aliases else "")

    def meaning(self, value: object) -> str:
        """What 0 or an empty text stands for, in the words of the description; empty for other values."""
        if isinstance(value, bool) or value not in (0, ""):
            return ""
        if self.section == "validity" and self.type == "number":
            return "off"
        sign = "empty" if value == "" else "0"
        found = re.search(rf"(?:^|; ){sign}: ([^;,]+)", self.description)
        return found[1].replace("`", "") if found else ""

    @property
    def environment(self) -> str:
        """The variable that sets this key; a table takes one variable a key, with the key appended."""
        return "INFERTUI_" + self.path.upper().replace(".", "_")

    def check(self, value: object, *, source: str = "", path: str = "") -> Value:
        """`value` as this field holds it, or a ConfigError. Aliases become full names, integers floats where fit."""
        accepted = self._accept(value)
        if accepted is None:
            raise self._error(value, source, path or self.path)
        return accepted

    def parse(self, text: str, *, source: str = "", path: str = "") -> Value:
        """The value that `text` (from a flag, `--set`, the environment, an axis) stands for, or a ConfigError."""
        candidate = self._read(text)
        accepted = None if candidate is None else self._accept(candidate)
        if accepted is None:
            raise self._error(text if candidate is None else candidate, source, path or self.path)
        return accepted

    def _accept(self, value: object) -> Value | None:
        if isinstance(value, str):
            word = self.aliases.get(value.lower(), value)
            if self.choices and word in self.choices:
                return word
            return word if self.type == "text" and _is_plain(word) and self._matches(word) else None
        if isinstance(value, bool):
            return value if self.type == "boolean" else None
        if isinstance(value, int | float) and self._in_range(value):
            if self.type == "number":
                return float(value) + 0.0  # -0.0 is 0.0: one value, one spelling, one hash
            return value if self.type == "integer" and isinstance(value, int) else None
        return None

    def _in_range(self, value: float) -> bool:
        if self.minimum is None or self.maximum is None:  # no number field, see _interval
            return False
        low_enough = value <= self.maximum  # False for nan, as are all its comparisons
        return low_enough and (value > self.minimum if self.above_minimum else value >= self.minimum)

    def _matches(self, text: str) -> bool:
        return not self.pattern or _compiled(self.pattern).search(text) is not None

    def _read(self, text: str) -> Value | None:
        if self.type == "text":
            return text
        word = text.strip()
        if self.type == "boolean":
            lower = word.lower()
            return True if lower in _TRUE else False if lower in _FALSE else None
        if self.type == "integer" and _INTEGER.fullmatch(word):
            return int(word)
        if self.type == "number" and _NUMBER.fullmatch(word):
            return float(word)
        return word if self.choices else None

    def _error(self, value: object, source: str, path: str) -> ConfigError:
        problem, remedy = f"{show(value)} is not allowed here", ""
        if isinstance(value, str):
            near = difflib.get_close_matches(value[:_LONGEST_KEY].lower(), [*self.choices, *self.aliases], n=1)
            if self.path == "engine.dtype" and value.lower() in option_words("quantization"):
                remedy = f"That is of quantized weights: engine.quantization = {show(value.lower())}."
            elif self.path == "engine.name" and (meant := engine_called(value)):
                remedy = f'Did you mean "{meant}"?'
            elif near:
                remedy = f'Did you mean "{self.aliases.get(near[0], near[0])}"?'
            elif path == self.path and self.type in ("integer", "number") and _SEVERAL.search(value):
                remedy = f'Several values make a sweep: [sweep.grid] "{path}" = {show(value)}.'
            if not _is_plain(value):
                problem = f"{show(value)} holds a NUL or bytes that are not UTF-8"
        return ConfigError(toml_path(path), problem, allowed=self.allowed, source=source, remedy=remedy)


def show(value: object, width: int = 80) -> str:
    """A value from outside as an error message shows it: on one line, in TOML's spelling, cut to `width`."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value[: 4 * width], width)
        case int() if value.bit_length() > 4 * width:
            return f"an integer of {value.bit_length()} bits"
        case int() | float() | dt.date() | dt.time():
            return str(value)
        case Mapping():
            return "a table" if value else "an empty table"
        case list() | tuple():
            inside = ["[…]" if isinstance(item, list | tuple) else show(item, 20) for item in value[:5]]
            return "[" + ", ".join(inside + ["…"] * (len(value) > 5)) + "]"
        case _:
            return f"a {type(value).__name__}"


def toml_path(path: str) -> str:
    """A flat path as TOML spells it: keys of the user's own that hold dots or blanks get quotes."""
    for table in TABLES:
        if path.startswith(table + "."):
            return f"{table}.{toml_key(path[len(table) + 1 :])}"
    safe = one_line(path, _LONGEST_KEY)
    return safe if re.fullmatch(r"[A-Za-z0-9_.-]+", safe) else f'"{safe}"'


def toml_key(key: str) -> str:
    """One key, quoted where TOML needs it, safe to show."""
    safe = one_line(key, _LONGEST_KEY)
    return safe if re.fullmatch(r"[A-Za-z0-9_-]+", safe) else f'"{safe}"'


def called(name: str) -> str:
    """The key that other tools call `name`, which may stand behind a table of ours; empty for none."""
    section, _, last = name.rpartition(".")
    return _OTHER_NAMES.get(name, "") or (_OTHER_NAMES.get(last, "") if section in SECTIONS else "")


def nearest(path: str) -> str:
    """The valid key most like `path`: by what other tools call it, by its last part, by its letters."""
    wanted = path[:_LONGEST_KEY].lower().replace("-", "_")
    last = wanted.rpartition(".")[2]
    if other := called(wanted):
        return other
    if wanted and wanted in SECTIONS:
        return next(candidate for candidate in FIELDS if candidate.startswith(wanted))

    def likeness(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, wanted, candidate).ratio()
        ending = difflib.SequenceMatcher(None, last, candidate.rpartition(".")[2]).ratio()
        return max(whole, ending - 0.05)

    return max(FIELDS, key=likeness)


def unknown_key(path: str, value: object, *, source: str = "") -> ConfigError:
    """The error for a key that is not in the schema: names its table's keys and the nearest valid one."""
    section = path.rpartition(".")[0]
    if section and section in SECTIONS:
        allowed = f"the keys of [{section}]: " + ", ".join(SECTIONS[section])
    else:
        allowed = "the tables " + ", ".join(f"[{name}]" for name in SECTIONS[""])
    problem = f"there is no such key (its value: {show(value, 40)})"
    remedy = f"The nearest valid key is {toml_path(nearest(path))}."
    return ConfigError(toml_path(path), problem, allowed=allowed, source=source, remedy=remedy)


def field_of(path: str) -> Field | None:
    """The field that a flat path belongs to: itself, or the table whose free key it is; None for no such key."""
    if (field := FIELDS.get(path)) is not None:
        return field if not field.is_table else None
    for table in TABLES:
        if path.startswith(table + ".") and path[len(table) + 1 :].strip():
            return FIELDS[table]
    return None


def parse_text(path: str, text: str, *, source: str = "") -> Value:
    """The value of key `path` that `text` stands for. Raises ConfigError for an unknown key or an impossible value.

    A label's text is taken as it is; an axis keeps the range grammar, checked when the config is put together.
    """
    field = field_of(path)
    if field is None:
        raise unknown_key(path, text, source=source)
    if not field.is_table:
        return field.parse(text, source=source)
    check_text(path, path, source=source)
    return check_text(path, text, source=source)


def check_text(path: str, text: str, *, source: str = "") -> str:
    """`text` itself if it can stand in a TOML file, otherwise a ConfigError."""
    if not _is_plain(text):
        raise ConfigError(toml_path(path), f"{show(text)} is not allowed here", allowed=_PLAIN_TEXT, source=source)
    return text


def _is_plain(text: str) -> bool:
    """No NUL, which no path or variable can hold, and no half of a surrogate pair, which no file can."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def _compiled(pattern: str) -> re.Pattern[str]:
    # `$` also matches before a final newline; JSON Schema, which shares the pattern, knows no \Z.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _describe(struct: type[Struct], prefix: str = "") -> list[Field]:
    found: list[Field] = []
    hints = typing.get_type_hints(struct, include_extras=True)
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101
    for entry in info.fields:
        path = prefix + entry.name
        if isinstance(entry.type, inspect.StructType):
            found += _describe(entry.type.cls, path + ".")
        else:
            found.append(_field(path, entry, _literals(hints[entry.name])))
    return found


def _field(path: str, entry: inspect.Field, literals: tuple[str, ...]) -> Field:
    kind, description, allowed, is_path = entry.type, "", "", False
    while isinstance(kind, inspect.Metadata):
        description = str((kind.extra_json_schema or {}).get("description", description))
        allowed = str((kind.extra or {}).get("allowed", allowed))
        is_path = bool((kind.extra or {}).get("path", is_path))
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        (kind,) = (member for member in kind.types if not isinstance(member, inspect.LiteralType))
    words = literals or _CHOICES.get(path, ())
    default = entry.default if entry.default is not msgspec.NODEFAULT else entry.default_factory()
    table: dict[str, object] = {
        "path": path, "default": default, "description": description, "choices": words, "is_path": is_path,
    }  # fmt: skip
    match kind:
        case inspect.IntType() | inspect.FloatType():
            whole = isinstance(kind, inspect.IntType)
            minimum = kind.ge if kind.gt is None else kind.gt
            limits = {"minimum": minimum, "maximum": kind.le, "above_minimum": kind.gt is not None}
            noun = "an integer" if whole else "a number"
            text = _interval(noun, minimum, kind.le, above=kind.gt is not None) + "".join(f' or "{w}"' for w in words)
            table |= {"type": "integer" if whole else "number", "allowed": allowed or text, **limits}
        case inspect.BoolType():
            table |= {"type": "boolean", "allowed": "true or false"}
        case inspect.LiteralType():
            aliases = DTYPE_ALIASES if words == typing.get_args(Dtype) else {}
            table |= {"type": "choice", "aliases": aliases, "allowed": "one of " + ", ".join(words)}
        case inspect.StrType() if words:
            table |= {"type": "choice", "allowed": "one of " + ", ".join(words)}
        case inspect.StrType():
            table |= {"type": "text", "pattern": kind.pattern or "", "allowed": allowed or _PLAIN_TEXT}
        case _:
            labels = path == "labels"
            allowed = 'keys of your own = "text"' if labels else '"table.key" = a list, or ranges as in "1,2,8-32*2"'
            table |= {"type": "labels" if labels else "axes", "allowed": allowed}
    return msgspec.convert(table, Field)


def _interval(noun: str, minimum: float | None, maximum: float | None, *, above: bool) -> str:
    # Both limits always: without them a number could be infinite, or have more digits than a file can hold.
    assert minimum is not None and maximum is not None, "every number of the schema has both limits"  # noqa: S101, PT018
    return (
        f"{noun} above {minimum:.16g}, at most {maximum:.16g}"
        if above
        else f"{noun} from {minimum:.16g} to {maximum:.16g}"
    )


def _literals(hint: object) -> tuple[str, ...]:
    """The words of a Literal inside a type hint, in the order in which the schema gives them."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if isinstance(hint, type) or not (arguments := typing.get_args(hint)):
        return ()
    return tuple(word for argument in arguments for word in _literals(argument))


_PLAIN_TEXT = "text"
# What engines, also those of other packages, say they take. Text in the schema, so that results are read anywhere.
_CHOICES = {
    "engine.name": tuple(SPECS),
    "engine.mode": ("auto", *option_words("mode")),
    "engine.attention": option_words("attention"),
    "engine.quantization": option_words("quantization"),
    "engine.speculation": option_words("speculation"),
}

FIELDS: dict[str, Field] = {field.path: field for field in _describe(Config)}
"""Every key by its dotted path, in the order of the schema; the tables `labels` and `sweep.*` are one entry each."""
TABLES: tuple[str, ...] = tuple(path for path, field in FIELDS.items() if field.is_table)
SECTIONS: dict[str, tuple[str, ...]] = {}
"""Dotted table name -> the keys in it, tables inside included; "" is the top of the file."""
for _path in FIELDS:
    _parent, _, _key = _path.rpartition(".")
    while _key not in SECTIONS.setdefault(_parent, ()):
        SECTIONS[_parent] = (*SECTIONS[_parent], _key)
        _parent, _, _key = _parent.rpartition(".")
        if not _key:
            break
