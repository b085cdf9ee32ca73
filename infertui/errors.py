"""Errors that a user can act on. The command line prints them without a traceback."""


class InfertuiError(Exception):
    """Something went wrong that has a name; `remedy` says what the user can do about it.

    `kind` is its word in files and on the wire, which stays when the class is renamed.
    """

    exit_code = 1
    kind: str = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(InfertuiError):
    """The request itself is at fault: an argument, a file that was named, a key."""

    exit_code = 2
    kind = "usage"


class ConfigError(UsageError):
    """One value of a config is wrong.

    `path` is its dotted TOML path, `allowed` what would have been right, `source` where the value came from.
    """

    kind = "config"

    def __init__(self, path: str, problem: str, *, allowed: str = "", source: str = "", remedy: str = "") -> None:
        message = f"{path}: {problem}" if path else problem
        if allowed:
            message += f"; allowed: {allowed}"
        if source:
            message += f" (from {source})"
        super().__init__(message, remedy=remedy)
        self.path = path
        self.problem = problem
        self.allowed = allowed
        self.source = source


class ModelError(InfertuiError):
    """A model cannot be found, read or downloaded."""

    kind = "model"


class DoesNotFitError(InfertuiError):
    """The memory estimate exceeds what the device has free."""

    kind = "does-not-fit"


class EngineError(InfertuiError):
    """An engine is not usable here, or refused what it was asked."""

    kind = "engine"


class ServerError(EngineError):
    """A server behind a URL cannot be reached or used, or answers as none should."""

    kind = "server"


class StoreError(InfertuiError):
    """Results cannot be written or read: disk full, no permission, not a run folder."""

    kind = "store"
