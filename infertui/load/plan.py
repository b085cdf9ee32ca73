"""What is asked of a server, and when: the plan, apart from who executes it.

A plan is a function of a seed and a description. Its requests are known by their index before anything is sent, so that
several clients, and several machines, execute parts of one plan.
"""

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

DEFAULT_LOAD_S = 30.0
"""For how long requests are sent where neither their number nor `max_seconds` is given."""


class PlannedRequest(Struct, frozen=True):
    """One request of a plan.

    `due` is in seconds after the plan's start; None: as soon as one of the requests in flight has ended, and `previous`
    has. `prompt` is its text; of a conversation's later turns it is what the user says then, after the answer to the
    request with the index `previous`, and its `due` is None also in an open loop: then as soon as that has ended.
    `prompt_tokens` and `output_tokens` are the lengths that are wanted; None is whatever comes, as of the whole of what
    a later turn sends.
    """

    index: int
    prompt: str
    due: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    conversation: int | None = None
    turn: int = 0
    previous: int | None = None


class LoadPlan(Protocol):
    """The requests of a run, and how they are divided over clients.

    `part` of `parts` has those whose conversation's number, or else whose index, leaves the remainder `part`: a
    conversation stays with one client.
    """

    @property
    def count(self) -> int | None:
        """How many requests there are; None: without end, or until the time of `load.steps` is over."""
        ...

    def requests(self, part: int = 0, parts: int = 1, first: int = 0) -> Iterator[PlannedRequest]:
        """From the index `first` on, in the order of their indices, made as they are asked for.

        Equal for equal seeds and descriptions. A later turn may come before what it waits for has ended: then those
        behind it are not held up by it.
        """
        ...

    def adjusted(
        self,
        at: float,
        *,
        request_rate: float | None = None,
        input_len: int | None = None,
        output_len: int | None = None,
        shared_prefix: float | None = None,
    ) -> "LoadPlan":
        """The same plan with other values from now on; None: as they are.

        Requests that are due before `at`, in seconds after the start, are so as before, and later ones come at the new
        rate, which is above 0. Whoever executes it asks the new plan for what follows the last index that was taken.
        """
        ...
