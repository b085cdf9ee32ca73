"""The process environment that vLLM reads while it is imported and while it starts. Pure."""

from collections.abc import Mapping

from infertui.config.engines.vllm import EngineCore
from infertui.errors import EngineError


def variables(
    current: Mapping[str, str], *, core: EngineCore, threads: int, processors: int, tensor_parallel: int, device: str
) -> dict[str, str | None]:
    """Variables to set before vLLM is imported; None removes one.

    `threads` is device.threads, `processors` how many CPUs this process may use, `device` is device.name.
    """
    wanted: dict[str, str | None] = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if core == "process" else "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # It would overrule the size of the KV pool, in whole GiB.
        "VLLM_CPU_KVCACHE_SPACE": None,
    }
    # The model was found on this machine: nothing has to be asked of the hub. And all ranks are on this machine.
    for name, value in (("HF_HUB_OFFLINE", "1"), ("VLLM_HOST_IP", "127.0.0.1")):
        if name not in current:
            wanted[name] = value
    if threads or tensor_parallel > 1:
        # Pinning is left out: two workers on one machine would be pinned to the same CPUs. vLLM's own choice
        # gives every rank a NUMA node and fails where there are fewer nodes than ranks.
        wanted["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        wanted["OMP_NUM_THREADS"] = str(threads or max(1, processors // tensor_parallel))
    first = _index(device)
    if first:
        wanted["CUDA_VISIBLE_DEVICES"] = _from(first, tensor_parallel, current.get("CUDA_VISIBLE_DEVICES", ""))
    return wanted


def _index(device: str) -> int:
    """vLLM takes the first GPUs that it sees; `cuda:2` has to be made the first."""
    return int(device.removeprefix("cuda:")) if device.startswith("cuda:") else 0


def _from(first: int, count: int, visible: str) -> str:
    seen = [name.strip() for name in visible.split(",") if name.strip()]
    if not seen:
        return ",".join(str(index) for index in range(first, first + count))
    if first + count > len(seen):
        raise EngineError(f"device.name is cuda:{first}, but only {len(seen)} GPU(s) are visible")
    return ",".join(seen[first : first + count])
