from pathlib import Path

import pytest

from infertui.targets.engine.contract import PROCESS_DIED
from infertui.worker import failure
from infertui.worker.failure import LastSigns, of_exit


def test_a_process_of_the_engine_that_the_kernel_killed_is_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker itself lives on, and ends because of it: vLLM's core holds the model in a process of its own."""
    monkeypatch.setattr(failure, "oom_kills", lambda: 4)

    def kind(code: int, before: int | None) -> str:
        return of_exit(code, "measure", LastSigns(oom_kills=before), tmp_path / "worker.log").kind

    assert kind(PROCESS_DIED, 3) == "out-of-memory"
    assert kind(PROCESS_DIED, 4) == "crash", "nothing was killed since"
    assert kind(PROCESS_DIED, None) == "crash", "it cannot be told"
    assert kind(1, 3) == "crash", "it ended for a reason of its own"
