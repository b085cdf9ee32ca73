"""engine.tensor_parallel: one process per device, each with its share of every layer, generating in lockstep.

The worker's process is rank 0. The others run `infertui.targets.engine.transformers.rank`, in the same process group;
they end when their input does, so none outlives the worker. Orders go to them as JSON lines.
"""

import contextlib
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from infertui.errors import ConfigError, EngineError
from infertui.targets.engine.base import Batch, EffectiveSettings, Generated, GenerationPlan, Getting, LoadRequest, Sink
from infertui.targets.engine.contract import PROCESS_DIED
from infertui.targets.engine.transformers.modes import ExecutionMode

if TYPE_CHECKING:
    import torch

_STOP = struct.Struct("<qq")
_LEAVE_S = 5.0


class Join(Struct, frozen=True, tag="join"):
    """The first order: what to load, as which rank of how many; `meeting` is a file by which they find each other."""

    request: LoadRequest
    rank: int
    ranks: int
    meeting: str


class Prepare(Struct, frozen=True, tag="prepare"):
    """Rank 0 prepares for this plan."""

    plan: GenerationPlan


class Generate(Struct, frozen=True, tag="generate"):
    """Rank 0 generates this batch, its n-th."""

    batch: Batch
    number: int


Order = Join | Prepare | Generate
encode = msgspec.json.encode
decode = msgspec.json.Decoder(Order).decode


class StopStep:
    """Shared by all ranks: after which step of which batch they stop.

    Rank 0 writes it between two steps; no rank can end the step after that without rank 0's share of it, so all see
    it there. Batches are numbered, so that it need not be cleared while a rank may still have to look.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _STOP.size)

    @classmethod
    def create(cls) -> "StopStep":
        """A new one, in memory."""
        descriptor = os.memfd_create("infertui-stop")
        os.ftruncate(descriptor, _STOP.size)
        return cls(descriptor)

    def set(self, batch: int, step: int) -> None:
        """Stop that batch after this step."""
        self._memory[:] = _STOP.pack(batch, step)

    def reached(self, batch: int, step: int) -> bool:
        """Whether that batch stops after this step."""
        stopped, last = _STOP.unpack(self._memory[:])
        return bool(stopped == batch and step >= last)


class Ranks:
    """Rank 0's handle on the others."""

    def __init__(self, request: LoadRequest) -> None:
        self.size = request.engine.tensor_parallel
        self.stop = StopStep.create()
        self._folder = tempfile.TemporaryDirectory(prefix="infertui-ranks-")
        self._closing = False
        self._processes: list[subprocess.Popen[bytes]] = []
        meeting = str(Path(self._folder.name) / "meeting")
        for rank in range(1, self.size):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "infertui.targets.engine.transformers.rank", str(self.stop.descriptor)],
                stdin=subprocess.PIPE,
                pass_fds=(self.stop.descriptor,),
            )
            self._processes.append(process)
            threading.Thread(target=self._guard, args=(process, rank), daemon=True, name=f"rank {rank}").start()
            self._send(process, Join(request, rank, self.size, meeting))
        try:
            join(0, self.size, meeting, request)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The processes of the other ranks."""
        return [process.pid for process in self._processes]

    def tell(self, order: Prepare | Generate) -> None:
        """Give all other ranks an order. Raises EngineError when one is gone."""
        for process in self._processes:
            self._send(process, order)

    def close(self) -> None:
        """End the other ranks and leave the group."""
        import torch.distributed as dist

        self._closing = True
        for process in self._processes:
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if dist.is_initialized():
            dist.destroy_process_group()
        self._folder.cleanup()

    def _send(self, process: "subprocess.Popen[bytes]", order: Order) -> None:
        try:
            assert process.stdin is not None  # noqa: S101
            process.stdin.write(encode(order) + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise EngineError("a process of engine.tensor_parallel has ended", remedy="worker.log has more.") from error

    def _guard(self, process: "subprocess.Popen[bytes]", rank: int) -> None:
        """Without one of its ranks this process would wait for ever inside a collective: end it, and say why."""
        code = process.wait()
        if not self._closing:
            print(f"rank {rank} of engine.tensor_parallel ended with code {code}", file=sys.stderr, flush=True)  # noqa: T201
            self._folder.cleanup()
            os._exit(PROCESS_DIED)


def check(request: LoadRequest, device: "torch.device") -> None:
    """Raise ConfigError or EngineError for what tensor parallelism does not go with here."""
    import torch

    engine = request.engine
    if find_spec("accelerate") is None:
        raise EngineError(
            "engine.tensor_parallel above 1 needs accelerate, which is not installed", remedy="pip install accelerate"
        )
    if device.type == "cuda" and device.index:
        raise ConfigError(
            "device.name", f"engine.tensor_parallel takes GPUs from the first on, not from {device}", allowed="cuda"
        )
    if device.type == "cuda" and torch.cuda.device_count() < engine.tensor_parallel:
        raise EngineError(
            f"engine.tensor_parallel is {engine.tensor_parallel}, but {torch.cuda.device_count()} GPU(s) are visible"
        )


def join(rank: int, ranks: int, meeting: str, request: LoadRequest) -> None:
    """Enter the process group: NCCL between GPUs, Gloo on a CPU."""
    import torch.distributed as dist

    from infertui.targets.engine.transformers.loading import pick_device

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    cuda = pick_device(request.device.name).type == "cuda"
    dist.init_process_group(
        "nccl" if cuda else "gloo", store=dist.FileStore(meeting, ranks), rank=rank, world_size=ranks
    )


class ParallelMode:
    """What rank 0 does: the same as the other ranks, after it told them."""

    def __init__(self, inner: ExecutionMode, ranks: Ranks, model: Any) -> None:
        self._inner, self._ranks, self._model = inner, ranks, model
        self._batches = 0

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        self._ranks.tell(Prepare(plan))
        self._inner.prepare(plan, enter)

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """A sink that raises ends the batch one step later, on all ranks alike."""
        self._batches += 1
        lockstep = _Leading(sink, self._ranks.stop, self._batches)
        self._ranks.tell(Generate(batch, self._batches))
        generated = self._inner.generate(batch, lockstep)
        if lockstep.raised is not None:
            raise lockstep.raised
        return generated

    def effective(self) -> EffectiveSettings:
        """Adds how many ranks the group has and how many weights are divided."""
        import torch.distributed as dist

        found = self._inner.effective()
        world = dist.get_world_size()
        tensors = list(self._model.parameters())
        divided = sum(is_divided(tensor) for tensor in tensors)
        return msgspec.structs.replace(
            found,
            settings={**found.settings, "tensor_parallel": str(world if divided else 1)},
            facts={
                **found.facts,
                "ranks": f"{world} over {dist.get_backend()}",
                "divided_weights": f"{divided} of {len(tensors)}",
            },
        )

    def release(self) -> None:
        self._inner.release()

    def close(self) -> None:
        """End the other ranks."""
        self._ranks.close()


class _Leading:
    """Rank 0's sink: what its own raises is held back for one step, so that the others can stop with it."""

    def __init__(self, sink: Sink, stop: StopStep, batch: int) -> None:
        self._sink, self._stop, self._batch, self._step = sink, stop, batch, 0
        self.raised: BaseException | None = None

    def step(self, tokens: int = 1) -> None:
        self._step += 1
        if self.raised is not None:
            raise self.raised
        try:
            self._sink.step(tokens)
        except BaseException as stopped:  # noqa: BLE001 (raised again at the next step)
            self.raised = stopped
            self._stop.set(self._batch, self._step + 1)

    def gained(self, sequence: int, tokens: int = 1) -> None:
        """Sequences advance together here."""
        raise NotImplementedError


class RankStopped(BaseException):
    """Rank 0 has stopped, so this rank does."""


class Following:
    """The sink of the other ranks."""

    def __init__(self, stop: StopStep, batch: int) -> None:
        self._stop, self._batch, self._step = stop, batch, 0

    def step(self, tokens: int = 1) -> None:
        self._step += 1
        if self._stop.reached(self._batch, self._step):
            raise RankStopped

    def gained(self, sequence: int, tokens: int = 1) -> None:
        """Sequences advance together here."""
        raise NotImplementedError


def is_divided(tensor: Any) -> bool:
    """Whether a weight is divided among ranks rather than held whole by each."""
    return any(placement.is_shard() for placement in getattr(tensor, "placements", ()))
