"""What can be wrong between a client and a runner."""

from infertui.errors import InfertuiError


class RunnerUnavailableError(InfertuiError):
    """No runner answers: none runs, it is ending, or the connection to it broke."""

    kind = "runner-unavailable"


class UntrustedSocketError(InfertuiError):
    """The socket, or its directory, belongs to somebody else, or can be changed by others: nothing is sent to it."""

    kind = "untrusted-socket"


class RunnerExistsError(InfertuiError):
    """A runner of this user is alive already."""

    kind = "runner-exists"


class OtherVersionError(InfertuiError):
    """The runner that is alive is of another version; `version` is its own. `busy`: it has runs under way."""

    kind = "other-version"

    def __init__(self, message: str, *, version: str = "", busy: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.version = version
        self.busy = busy


class ReadOnlyError(InfertuiError):
    """Something was asked that changes the runner, by one who only watches."""

    kind = "read-only"


class AccessError(InfertuiError):
    """A runner on TCP refuses whoever asks: no token, a wrong one, too many of these, or a name that is not its own."""

    kind = "access"
