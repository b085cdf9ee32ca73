"""What may enter the queue: whatever sent it, it is in order before anything is kept or told.

Whether it can run is looked at by `runner/vetting.py`.
"""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from infertui.config.parse import decode
from infertui.config.ranges import MAX_POINTS
from infertui.config.schema import SweepConfig
from infertui.config.sweep import Place, Variant
from infertui.errors import UsageError
from infertui.runner.control import Submission
from infertui.text import clean, shorten

MAX_NAME = 500
"""Characters of a title, and of a name."""
MAX_CONFIG = 1 << 20
"""Bytes of one config as JSON."""
MAX_PATH = 4095
"""Bytes of a path: PATH_MAX of Linux holds one more, the null byte."""


def accepted(submission: Submission) -> Submission:
    """The submission as it may be queued: its texts are fit to be shown. Raises UsageError and ConfigError."""
    if not submission.variants:
        raise UsageError("nothing to queue: the submission holds no config")
    if len(submission.variants) > MAX_POINTS:
        raise UsageError(f"the submission holds {len(submission.variants):,} configs; up to {MAX_POINTS:,} are taken")
    out = submission.out
    if not Path(out).is_absolute() or "\0" in out or len(out.encode(errors="replace")) > MAX_PATH:
        raise UsageError(f"the reports folder {_quoted(out)} is not an absolute path of at most {MAX_PATH:,} bytes")
    variants = tuple(accepted_variant(variant) for variant in submission.variants)
    return replace(submission, title=_name("title", submission.title), variants=variants)


def accepted_variant(variant: Variant) -> Variant:
    """A config as it may be queued. Raises UsageError, and ConfigError as for a file that says the same."""
    config = variant.config
    size = len(msgspec.json.encode(config))
    if size > MAX_CONFIG:
        raise UsageError(f"a config of {size:,} bytes is too large; up to {MAX_CONFIG:,} are taken")
    if config.sweep != SweepConfig():
        raise UsageError("a config in the queue is a single run, and this one holds a sweep", remedy="Expand it first.")
    place = _accepted_place(variant.place) if variant.place else None
    return Variant(_name("name", variant.name), decode(msgspec.to_builtins(config)), variant.values, place)


def _accepted_place(place: Place) -> Place:
    if len(place.arms) > MAX_POINTS:
        raise UsageError(f"a bench of {len(place.arms):,} configs is too large; up to {MAX_POINTS:,} are taken")
    arms = tuple(_name("name of a config", arm) for arm in place.arms)
    return replace(place, bench=_name("name of the bench", place.bench), arm=_name("name", place.arm), arms=arms)


def _name(what: str, text: str) -> str:
    if len(text) > MAX_NAME:
        raise UsageError(f"the {what} {_quoted(text)} is longer than {MAX_NAME} characters")
    return clean(text)


def _quoted(text: str) -> str:
    return f'"{shorten(clean(text[:200]), 80)}"'
