"""What is asked of a server, and when: the plan, apart from who executes it.

A plan is a function of a seed and a description. Its requests are known by their index before anything is sent, so that
several clients, and several machines, execute parts of one plan.
"""

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct


class PlannedRequest(Struct, frozen=True):
    """One request of a plan.

    `due` is in seconds after the plan's start; None: as soon as one of the requests in flight has ended, and `previous`
    has. `prompt` is its text; of a conversation's later turns it is what the user says then, after the answer to the
    request with the index `previous`. `prompt_tokens` and `output_tokens` are the lengths that are wanted; None is
    whatever comes.
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
        """How many requests there are; None: without end."""
        ...

    def requests(self, part: int = 0, parts: int = 1) -> Iterator[PlannedRequest]:
        """In the order of their indices, made as they are asked for. Equal for equal seeds and descriptions."""
        ...
