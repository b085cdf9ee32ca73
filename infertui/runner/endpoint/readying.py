"""From a config to an endpoint that can be loaded: its server is started where it is ours, and clients are ready."""

import contextlib
import os
import time

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.load.prompts import load_prompts
from infertui.load.texts import salt_of
from infertui.results.runs import RunFolder
from infertui.runner.blocking import run_blocking
from infertui.runner.endpoint.asked import as_found, processes_for, server_environment
from infertui.runner.endpoint.at_work import EndpointAtWork
from infertui.runner.endpoint.live import Hear, LiveClients
from infertui.runner.execution.reporter import RunReporter
from infertui.targets.endpoint.address import parse_url
from infertui.targets.endpoint.extras import key_of
from infertui.targets.endpoint.probe import probe
from infertui.worker.loadgen.protocol import PreparePart
from infertui.worker.serving.launch import launched

SERVER_LOG = "server.log"


async def ready_endpoint(
    config: Config, folder: RunFolder, reporter: RunReporter, served: contextlib.AsyncExitStack, *, hear: Hear
) -> EndpointAtWork:
    """Look at the server of a run, and have clients for it.

    `served` has a server of ours until this returns, and has to be closed where it raises. Raises InfertuiError for
    whatever keeps the endpoint from being loaded.
    """
    prompts = () if config.load.trace else await run_blocking(lambda: load_prompts(config.workload))
    target = config.target
    if target.serve != "none":
        reporter.enter("load", time.monotonic_ns())
        environment = server_environment(config.device, os.environ)
        started = await served.enter_async_context(launched(config, folder.path / SERVER_LOG, environment))
        target = replace(target, url=started.url)
    reporter.enter("probe", time.monotonic_ns())
    address = parse_url(target.url)
    key = key_of(target, address)
    facts = await probe(
        target,
        exactly=config.load.ignore_eos,
        scale=bool(config.workload.input_len or config.load.trace),
        told=lambda text: reporter.note("info", text),
    )
    for note in facts.notes:
        reporter.note("info", note)
    found = as_found(config, facts)
    clients = await LiveClients.prepared(
        folder.log,
        PreparePart(
            replace(target, api=facts.api, model=facts.model),
            found.load,
            found.workload,
            facts.api,
            facts.model,
            prompts,
            facts.without,
            salt=salt_of(folder.id),
            scale=facts.scale,
        ),
        parts=processes_for(found, os.cpu_count() or 1),
        key=key,
        hear=hear,
    )
    return EndpointAtWork(config, facts, target.url, address, key, clients, served.pop_all())
