"""What can change on the screen: the parts of what is known of the runner."""

from typing import Literal

Topic = Literal["runner", "queue", "machine", "live", "tuning", "capacity", "results"]
ALL_TOPICS: frozenset[Topic] = frozenset({"runner", "queue", "machine", "live", "tuning", "capacity", "results"})
