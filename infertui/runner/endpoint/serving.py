"""Which processes of this machine answer behind a URL, and on which GPUs they compute."""

import socket
from collections.abc import Sequence

import psutil

from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.sampler import Sampler

_LISTENING = psutil.CONN_LISTEN


def listening_pids(host: str, port: int) -> frozenset[int]:
    """The processes that listen there, with all below them; empty for another machine's, and where that
    may not be seen."""
    if not _is_here(host):
        return frozenset()
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return frozenset()
    owners = {
        one.pid for one in connections if one.status == _LISTENING and one.laddr and one.laddr.port == port and one.pid
    }
    return frozenset(pid for owner in owners for pid in _family(owner))


def gpus_of(pids: frozenset[int], sampler: Sampler) -> tuple[GpuInfo, ...]:
    """The GPUs on which one of these processes computes."""
    found = []
    for gpu in sampler.gpus if pids else ():
        processes = sampler.processes(gpu)
        if processes is not None and any(process.pid in pids for process in processes):
            found.append(gpu)
    return tuple(found)


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    own = {address.address for several in psutil.net_if_addrs().values() for address in several}
    return any(str(address).split("%")[0] in {one.split("%")[0] for one in own} for address in addresses)


def _family(pid: int) -> Sequence[int]:
    """A process and all below it."""
    try:
        process = psutil.Process(pid)
        return (pid, *(child.pid for child in process.children(recursive=True)))
    except (psutil.Error, OSError):
        return (pid,)
