"""What can change on the screen: the parts of what is known of the runner."""

from typing import Literal, get_args

Topic = Literal["runner", "queue", "machine", "live", "tuning", "capacity", "pulls", "results"]
ALL_TOPICS: frozenset[Topic] = frozenset(get_args(Topic))
