"""What holds for every Control: the runner in this process, and the same runner behind a socket."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from support.runs import HANG_S, simulated
from support.served import mirrored, served

from infertui import __version__
from infertui.config.bench_plan import plan_bench
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import ConfigError, InfertuiError, UsageError
from infertui.results.index import ResultQuery
from infertui.runner import offloading
from infertui.runner.control import PROTOCOL, EventEnvelope, PausedChanged, RunnerApi, Snapshot, Submission
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import QueueStore
from infertui.tui.state import ClientState

Opened = Callable[[], AbstractAsyncContextManager[RunnerApi]]


@pytest.fixture(params=["in process", "by socket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def open_it() -> AsyncIterator[RunnerApi]:
        async with Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
            if request.param == "in process":
                yield runner
            else:
                async with served(runner, tmp_path) as (client, _):
                    yield client

    return open_it


def play(scenario: Coroutine[Any, Any, None]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(HANG_S):
            await scenario

    asyncio.run(guarded())


def submission(out: Path, *configs: Config, title: str = "test", front: bool = False) -> Submission:
    variants = [Variant(f"n={number}", config, {}) for number, config in enumerate(configs or [simulated()])]
    return Submission(title, tuple(variants), str(out / "reports"), front=front)


def endless() -> Config:
    return simulated(engine__simulator__virtual_time=False, measurement__iterations=1_000_000, workload__output_len=2)


def order(client_state: ClientState) -> list[int]:
    return list(client_state.entries)


def states(client_state: ClientState) -> list[str]:
    return [entry.state for entry in client_state.entries.values()]


def measures(client_state: ClientState) -> bool:
    return any(progress.phase == "measure" for progress in client_state.progress.values())


def ended(client_state: ClientState) -> bool:
    return bool(client_state.entries) and not {"queued", "running"} & set(states(client_state))


def test_a_snapshot_says_who_answers(opened: Opened) -> None:
    async def scenario() -> None:
        async with opened() as control:
            told = await control.snapshot()
            assert (told.runner.version, told.runner.protocol) == (__version__, PROTOCOL)
            assert told.runner.pid > 0
            assert told.runner.host.hostname
            assert told.entries == ()
            assert not told.paused

    play(scenario())


def test_what_is_submitted_is_measured_and_told(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            ids = await control.submit(submission(tmp_path, simulated(), simulated(workload__batch_size=2)))
            client_state = await mirrored(control, ended)
            assert order(client_state) == list(ids)
            assert states(client_state) == ["finished", "finished"]
            assert [entry.label for entry in client_state.entries.values()] == ["test n=0", "test n=1"]
            assert {entry.group for entry in client_state.entries.values()} == {ids[0]}
            assert all(entry.throughput for entry in client_state.entries.values())
            page = await control.results(ResultQuery(str(tmp_path / "reports"), sort="throughput", limit=1))
            assert (page.total, page.matching, len(page.rows)) == (2, 2, 1)
            details = await control.details(str(tmp_path / "reports"), page.rows[0].id)
            assert details.result is not None
            assert details.result.own_config.workload.batch_size == 2
            await control.delete(str(tmp_path / "reports"), [details.id])
            assert (await control.results(ResultQuery(str(tmp_path / "reports")))).total == 1

    play(scenario())


def test_what_is_known_to_be_wrong_is_not_queued(opened: Opened, tmp_path: Path) -> None:
    wrong = simulated(engine__name="transformers", engine__mode="cudagraph", device__name="cpu")
    arms = [("good", simulated()), ("bad", wrong)]

    async def scenario() -> None:
        async with opened() as control:
            with pytest.raises(ConfigError) as caught:
                await control.submit(submission(tmp_path, wrong))
            assert caught.value.path == "engine.mode"
            with pytest.raises(ConfigError, match=r"engine\.mode: .*run \d of 4, bad"):
                await control.submit(Submission("bench", tuple(plan_bench(arms, 2, 1)), str(tmp_path / "reports")))
            assert not (await control.snapshot()).entries
            await control.pause()
            (good, bad) = await control.submit(submission(tmp_path, simulated(), wrong))
            with pytest.raises(ConfigError, match=r"engine\.mode"):
                await control.edit(good, Variant("", wrong, {}))
            with pytest.raises(ConfigError, match=r"engine\.mode"):
                await control.retry([bad])
            await control.resume()
            client_state = await mirrored(control, ended)
            assert states(client_state) == ["finished", "refused"]
            assert client_state.entries[bad].reason.startswith("engine.mode: ")

    play(scenario())
    assert len(list((tmp_path / "reports").glob("*/"))) == 1


def test_runs_are_compared_with_the_first(opened: Opened, tmp_path: Path) -> None:
    out = str(tmp_path / "reports")

    async def scenario() -> None:
        async with opened() as control:
            slow, fast = simulated(), simulated(engine__simulator__step_ms=1.0, workload__batch_size=2)
            await control.submit(submission(tmp_path, slow, fast, slow))
            await mirrored(control, ended)
            page = await control.results(ResultQuery(out, sort="started", descending=False))
            base, other, same = (row.id for row in page.rows)
            found = (await control.compare(out, [base, other, same])).runs
            assert [(one.first, one.second) for one in found] == [(base, other), (base, same)]
            assert "workload.batch_size" in {difference.what for difference in found[0].differences}
            ratios = {figure.name.partition(",")[0]: figure.ratio for figure in found[0].figures}
            assert ratios["throughput"] is not None
            assert ratios["throughput"].value > 2
            assert found[0].unlike
            assert (await control.compare(out, [base, same])).bench is None
            for runs, said in (([base], "2 to"), ([base, base], "itself"), ([base, "nowhere"], "no result")):
                with pytest.raises(InfertuiError, match=said):
                    await control.compare(out, runs)

    play(scenario())


def test_what_a_sweep_varied_makes_curves(opened: Opened, tmp_path: Path) -> None:
    out = str(tmp_path / "reports")

    async def scenario() -> None:
        async with opened() as control:
            await control.submit(submission(tmp_path, *(simulated(workload__batch_size=size) for size in (1, 2, 4))))
            await mirrored(control, ended)
            page = await control.results(ResultQuery(out))
            runs = [row.id for row in page.rows]
            (found,) = await control.curves(out, runs)
            assert (found.key, [point.x for point in found.points]) == ("workload.batch_size", [1, 2, 4])
            assert {point.run for point in found.points} == set(runs)
            assert await control.curves(out, runs[:2]) == ()
            assert await control.curves(out, ["nowhere"]) == ()
            for wrong, said in ((("reports", runs), "absolute"), ((out, [str(at) for at in range(1001)]), "too many")):
                with pytest.raises(UsageError, match=said):
                    await control.curves(*wrong)

    play(scenario())


def test_a_study_of_layers_is_begun_and_can_be_continued(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "reports"
    monkeypatch.setattr(offloading, "cards_now", lambda: ())  # whatever driver another test left findable

    async def scenario() -> None:
        async with opened() as control:
            config = simulated(engine__simulator__layers=4, device__name="cpu")
            outline = await control.study_outline(config)
            assert (outline.layers, outline.gpu, outline.why_none) == (4, "", "device.name is cpu")
            begun = await control.begin_study(config, [0, 2, -1], str(out))
            client_state = await mirrored(control, ended)
            (entry,) = client_state.entries.values()  # without a GPU there is one point
            assert (entry.id, entry.title, entry.state) == (*begun.ids, "profile", "finished")
            assert entry.config.labels["study"] == begun.study
            assert entry.config.engine.simulator.n_gpu_layers == 0
            assert {file.name for file in (out / begun.study).iterdir()} == {"profile.json", "study.toml"}
            with pytest.raises(UsageError, match="no layers to put on a GPU"):
                await control.begin_study(simulated(), [0], str(out))
            with pytest.raises(UsageError, match="absolute"):
                await control.begin_study(config, [0], "reports")

    play(scenario())


def test_a_bench_is_measured_in_turn_and_told_in_pairs(opened: Opened, tmp_path: Path) -> None:
    out = str(tmp_path / "reports")
    arms = [("slow", simulated()), ("fast", simulated(engine__simulator__step_ms=2.5))]

    async def scenario() -> None:
        async with opened() as control:
            plan = plan_bench(arms, 3, seed=1, bench="the-bench")
            await control.submit(Submission("bench", tuple(plan), out))
            client_state = await mirrored(control, ended)
            assert [entry.place for entry in client_state.entries.values()] == [variant.place for variant in plan]
            found = await control.bench(out, "the-bench")
            assert ([arm.name for arm in found.arms], found.rounds, found.missing) == (["slow", "fast"], 3, 0)
            runs = [run for arm in found.arms for run in arm.runs]
            if found.used:  # on a busy machine rounds may be disturbed
                beside = await control.compare(out, runs[:2])
                assert beside.bench == found
                assert [(one.first, one.second) for one in beside.runs] == [(runs[0], runs[1])]
            with pytest.raises(UsageError, match="no result of the bench"):
                await control.bench(out, "another")

    play(scenario())


def test_the_queue_is_steered(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            await control.pause()
            first, second, third = await control.submit(submission(tmp_path, *[simulated()] * 3))
            (ahead,) = await control.submit(submission(tmp_path, front=True))
            assert order(await mirrored(control, lambda _: True)) == [ahead, first, second, third]
            await control.move([third], -2)
            assert order(await mirrored(control, lambda _: True)) == [ahead, third, first, second]
            await control.edit(first, Variant("bs=7", simulated(workload__batch_size=7), {"workload.batch_size": 7}))
            (copy,) = await control.duplicate([first])
            await control.skip([ahead])
            await control.cancel([third])
            client_state = await mirrored(control, lambda _: True)
            assert order(client_state) == [ahead, third, first, copy, second]
            assert states(client_state) == ["skipped", "cancelled", "queued", "queued", "queued"]
            assert client_state.entries[copy].config.workload.batch_size == 7
            await control.remove([second])
            (again,) = await control.retry([ahead])
            await control.clear()
            client_state = await mirrored(control, lambda _: True)
            assert order(client_state) == [first, copy, again]
            assert client_state.paused
            await control.resume()
            client_state = await mirrored(control, ended)
            assert not client_state.paused
            assert states(client_state) == ["finished"] * 3

    play(scenario())


def test_a_running_entry_is_cancelled_and_keeps_what_it_measured(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            ids = await control.submit(submission(tmp_path, endless()))
            await mirrored(control, lambda client_state: any(run.measured for run in client_state.progress.values()))
            await control.cancel(ids)
            client_state = await mirrored(control, ended)
            assert states(client_state) == ["cancelled"]
            assert client_state.entries[ids[0]].throughput

    play(scenario())


def test_a_runner_stops_only_when_nothing_runs_unless_told_now(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            await control.submit(submission(tmp_path, endless()))
            await mirrored(control, lambda client_state: client_state.running)
            with pytest.raises(UsageError, match="test n=0") as refusal:
                await control.stop()
            assert refusal.value.remedy
            await control.stop(now=True)

    play(scenario())


def test_events_are_numbered_without_gaps_from_any_number_on(opened: Opened) -> None:
    async def scenario() -> None:
        async with opened() as control:
            start = (await control.snapshot()).number
            for _ in range(3):
                await control.pause()
                await control.resume()
            paused = []
            async with aclosing(cast(Any, control.events(start))) as events:
                expected = start
                async for told in events:
                    expected += 1
                    assert isinstance(told, EventEnvelope)
                    assert told.number == expected
                    if isinstance(told.event, PausedChanged):
                        paused.append(told)
                        if len(paused) == 6:
                            break
            assert [told.event.paused for told in paused if isinstance(told.event, PausedChanged)] == [True, False] * 3
            async with aclosing(cast(Any, control.events(paused[3].number))) as events:
                told = await anext(event async for event in events if isinstance(event.event, PausedChanged))
                assert told == paused[4]

    play(scenario())


def test_a_reader_from_the_future_gets_a_snapshot(opened: Opened) -> None:
    async def scenario() -> None:
        async with opened() as control, aclosing(cast(Any, control.events(10**9))) as events:
            assert isinstance(await anext(events), Snapshot)

    play(scenario())


def test_a_slow_reader_gets_a_snapshot_in_place_of_the_backlog(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            await control.pause()
            async with aclosing(cast(Any, control.events((await control.snapshot()).number - 1))) as events:
                await anext(events)
                await control.submit(submission(tmp_path, *[simulated()] * 2000))
                told = await anext(events)
                while not isinstance(told, Snapshot):
                    told = await anext(events)
                assert len(told.entries) == 2000
                await control.resume()
                await control.stop(now=True)
                reached = told.number
                told = await anext(events)
                assert isinstance(told, EventEnvelope)
                assert told.number == reached + 1

    play(scenario())


def test_two_watchers_see_the_same(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            both = asyncio.gather(mirrored(control, ended), mirrored(control, ended))
            await control.submit(submission(tmp_path))
            one, other = await both
            assert one.entries == other.entries

    play(scenario())


def test_processes_on_a_gpu_are_told_with_whose_they_are(
    opened: Opened, tmp_path: Path, stub_settings: Callable[..., None]
) -> None:
    pids = tmp_path / "pids"
    stub_settings(pids_file=pids)

    async def scenario() -> None:
        async with opened() as control:
            (gpu,) = (await control.snapshot()).runner.gpus
            assert await control.processes(gpu.uuid) == ()
            (entry,) = await control.submit(submission(tmp_path, endless(), title="endless"))
            await mirrored(control, measures)
            (worker,) = [child for child in psutil.Process().children() if "infertui.worker" in str(child.cmdline())]
            pids.write_text(f"{worker.pid},{os.getpid()}")
            found = {process.pid: process for process in await control.processes(gpu.uuid) or ()}
            assert found[worker.pid].run == f"#{entry} endless n=0"
            assert found[os.getpid()].run == ""
            await control.cancel([entry])
            await mirrored(control, ended)
            found = {process.pid: process for process in await control.processes(gpu.uuid) or ()}
            assert found[worker.pid].run in ("kept loaded", "")  # where it had to be killed it is gone

    play(scenario())


def test_the_past_of_runs_and_of_the_machine_can_be_asked_for(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            before = time.monotonic_ns()
            await control.submit(submission(tmp_path, simulated()))
            known = await mirrored(control, ended)
            (run,) = (entry.run for entry in known.entries.values())
            past = await control.history(before, time.monotonic_ns(), 100)
            assert {mark.run for mark in past.marks} == {run}
            phases = list(dict.fromkeys(mark.phase for mark in past.marks if mark.phase))
            assert "measure" in phases
            assert phases == [phase for _, phase in past.runs[run].entered if phase in phases]
            assert past.runs[run].rates == []
            assert all(before <= sample.t_ns for sample in past.samples)
            with pytest.raises(UsageError, match="points"):
                await control.history(0, 1, 10**9)
            with pytest.raises(UsageError, match="before it begins"):
                await control.history(1, 0, 10)

    play(scenario())


def test_errors_keep_their_class_and_their_remedy(opened: Opened, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened() as control:
            with pytest.raises(UsageError, match="no entry 99"):
                await control.cancel([99])
            with pytest.raises(UsageError, match="not an absolute path"):
                await control.submit(Submission("", (Variant("", simulated(), {}),), "reports"))
            with pytest.raises(UsageError, match="no GPU"):
                await control.processes("GPU-1/2 3")
            with pytest.raises(InfertuiError):
                await control.details(str(tmp_path), "no-such-run")

    play(scenario())


def test_a_forecast_says_whether_it_fits_and_models_are_listed(opened: Opened) -> None:
    async def scenario() -> None:
        async with opened() as control:
            forecast = await control.forecast(simulated())
            assert forecast.lines
            assert "synthetic:nano" in {model.id for model in await control.models()}

    play(scenario())
