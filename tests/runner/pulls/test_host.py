"""Downloads by a runner: from a hub on the loopback, in processes of their own, told by events; cut ones go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.hub import MODEL, FakeHub, serving

from infertui.errors import UsageError
from infertui.models.hub.progress import PullView
from infertui.runner.control import PullChanged
from infertui.runner.pulls.host import AT_ONCE, KEPT, Pulls

Play = Callable[[Pulls, "Told"], Awaitable[None]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serving() as hub:
        for name, value in {
            "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield hub


class Told:
    """What was told, and waiting for it."""

    def __init__(self) -> None:
        self.views: list[PullView] = []
        self._news = asyncio.Event()

    def __call__(self, event: PullChanged) -> None:
        self.views.append(event.pull)
        self._news.set()

    async def until(self, wanted: Callable[[PullView], bool]) -> PullView:
        async with asyncio.timeout(60):
            while not any(wanted(view) for view in self.views):
                self._news.clear()
                await self._news.wait()
        return next(view for view in self.views if wanted(view))


def pulling(play: Play) -> Told:
    async def scenario() -> Told:
        told = Told()
        pulls = Pulls(told)
        try:
            await play(pulls, told)
        finally:
            await pulls.close()
        return told

    return asyncio.run(scenario())


def test_a_model_is_brought_and_its_progress_told(hub: FakeHub, tmp_path: Path) -> None:
    async def play(pulls: Pulls, told: Told) -> None:
        pulls.begin(MODEL, "")
        pulls.begin(MODEL, "")  # that is under way
        assert pulls.under_way == [f"download of {MODEL}"]
        done = await told.until(lambda view: view.state == "done")
        assert done.progress is not None
        assert done.progress.done_bytes == done.progress.total_bytes > 3 << 20
        assert pulls.under_way == []
        assert [view.state for view in pulls.views] == ["done"]

    told = pulling(play)
    assert told.views[0] == PullView(MODEL)
    assert len([view for view in told.views if view.state == "done"]) == 1
    assert list((tmp_path / "hf/hub").glob("models--acme--tiny/snapshots/*/model.safetensors"))


def test_what_was_cancelled_goes_on_from_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.stall_after = 1 << 20

    async def play(pulls: Pulls, told: Told) -> None:
        pulls.begin(MODEL, "")
        await told.until(lambda view: bool(view.progress and view.progress.done_bytes >= 1 << 20))
        pulls.cancel(MODEL, "")
        await told.until(lambda view: view.state == "cancelled")
        with pytest.raises(UsageError, match="no download of acme/tiny"):
            pulls.cancel(MODEL, "")
        hub.stall_after = None
        pulls.begin(MODEL, "")
        done = await told.until(lambda view: view.state == "done")
        assert done.progress is not None
        assert done.progress.resumed_bytes >= 1 << 20

    pulling(play)


def test_a_runner_that_ends_ends_it_and_loses_nothing(hub: FakeHub, tmp_path: Path) -> None:
    hub.stall_after = 1 << 20

    async def play(pulls: Pulls, told: Told) -> None:
        pulls.begin(MODEL, "")
        await told.until(lambda view: bool(view.progress and view.progress.done_bytes >= 1 << 20))

    assert pulling(play).views[-1].state == "cancelled"
    partial = list((tmp_path / "hf/hub/models--acme--tiny/blobs").glob("*.incomplete"))
    assert max(path.stat().st_size for path in partial) >= 1 << 20


@pytest.mark.parametrize(
    ("refusal", "words"),
    [((404, "RepoNotFound"), "is not on http"), ((403, "GatedRepo"), "gated"), ((500, ""), "HTTP 500")],
)
def test_what_the_hub_refuses_is_told_with_a_remedy(hub: FakeHub, refusal: tuple[int, str], words: str) -> None:
    hub.refusal = refusal

    async def play(pulls: Pulls, told: Told) -> None:
        pulls.begin(MODEL, "")
        failed = await told.until(lambda view: view.state == "failed")
        assert words in failed.problem
        assert failed.remedy

    pulling(play)


def test_without_a_hub_that_is_said(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    async def play(pulls: Pulls, told: Told) -> None:
        pulls.begin(MODEL, "")
        assert "HF_HUB_OFFLINE is set" in (await told.until(lambda view: view.state == "failed")).problem

    pulling(play)


def test_what_is_no_model_and_too_many_are_refused(hub: FakeHub) -> None:
    hub.stall_after = 0

    async def play(pulls: Pulls, told: Told) -> None:
        for name in ("", "../x", "a/b/c", "synthetic:nano", "-x", "x\n", "a" * 500):
            with pytest.raises(UsageError, match="is not the id"):
                pulls.begin(name, "")
        with pytest.raises(UsageError, match="not a branch"):
            pulls.begin(MODEL, "../x")
        for number in range(AT_ONCE):
            pulls.begin(MODEL, f"r{number}")
        with pytest.raises(UsageError, match="downloads are under way"):
            pulls.begin(MODEL, "one-more")

    pulling(play)


def test_of_those_that_ended_the_last_are_told(hub: FakeHub) -> None:
    hub.refusal = (404, "RepoNotFound")

    async def play(pulls: Pulls, told: Told) -> None:
        for number in range(KEPT + 2):
            pulls.begin(f"acme/m{number}", "")
            await told.until(lambda view, name=f"acme/m{number}": view.model == name and view.state == "failed")  # type: ignore[misc]
        assert [view.model for view in pulls.views] == [f"acme/m{number}" for number in range(2, KEPT + 2)]

    pulling(play)
