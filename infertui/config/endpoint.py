"""Of the config what concerns endpoints: servers behind a URL, what they are asked, and when."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.section import Section

YEAR_S = 31_536_000


class TargetConfig(Section, frozen=True):
    """What answers: an engine that is run here, or an endpoint, a server behind a URL."""

    kind: Annotated[
        Literal["engine", "endpoint"], Meta(description="engine: [engine] in a process here; endpoint: a server at url")
    ] = "engine"
    url: Annotated[
        str,
        Meta(description="of the server, as in http://127.0.0.1:8000, https://host/v1 or unix:/run/server.sock"),
    ] = ""
    serve: Annotated[
        Literal["none", "vllm", "llama-server", "sglang", "trtllm", "transformers"],
        Meta(
            description="server that infertui starts for the run, instead of one at url, with the model and the engine "
            "options of the config; none: there is one"
        ),
    ] = "none"
    serve_args: Annotated[
        str, Meta(description="further arguments of that server, as in a shell: --max-num-seqs 64; empty: none")
    ] = ""
    api: Annotated[
        Literal[
            "auto",
            "openai-chat",
            "openai-completions",
            "openai-responses",
            "anthropic-messages",
            "tgi",
            "triton",
            "ollama-chat",
            "ollama-generate",
            "llama-server",
            "sglang",
        ],
        Meta(description="dialect that the server is asked in; auto: what it is found to answer to"),
    ] = "auto"
    model: Annotated[
        str, Meta(description="name that the server knows the model by; empty: the first that it lists")
    ] = ""
    streaming: Annotated[bool, Meta(description="ask for tokens as they come; without it there is no TTFT")] = True
    tokenizer: Annotated[
        str, Meta(description="directory or id of a tokenizer that counts tokens here, beside the server; empty: none")
    ] = ""
    api_key_env: Annotated[
        str, Meta(description="environment variable that holds the API key, which is never kept; empty: OPENAI_API_KEY")
    ] = ""
    api_key_file: Annotated[
        str, Meta(description="file that holds the API key instead; empty: none", extra={"path": True})
    ] = ""
    api_key_header: Annotated[
        str,
        Meta(description="header that carries the key as it is, as in api-key (Azure); empty: as the dialect has it"),
    ] = ""
    headers: Annotated[
        str,
        Meta(
            description='further headers of every request as a JSON object, as in {"X-Team": "a"}; no '
            "credentials; empty: none"
        ),
    ] = ""
    body: Annotated[
        str,
        Meta(
            description='further fields of every request as a JSON object, as in {"repetition_penalty": 1.1}; '
            "empty: none"
        ),
    ] = ""
    ca_file: Annotated[
        str, Meta(description="certificates to trust, PEM; empty: those of the system", extra={"path": True})
    ] = ""
    insecure: Annotated[bool, Meta(description="do not check the server's certificate")] = False
    request_timeout_s: Annotated[float, Meta(gt=0, le=YEAR_S, description="a request that takes longer has failed")] = (
        600.0
    )
    probe_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=YEAR_S,
            description="the short requests before a load, by which the server is got to know, may take so long each",
        ),
    ] = 120.0
    metrics_url: Annotated[
        str, Meta(description="the server's Prometheus page; auto: /metrics where there is one; none: do not look")
    ] = "auto"


class LoadConfig(Section, frozen=True):
    """What an endpoint is asked, and when. Lengths and prompts are those of [workload]."""

    concurrency: Annotated[
        int,
        Meta(
            ge=0,
            le=65536,
            description="requests in flight, each followed by the next; with a request_rate the most at a time; 0: "
            "one, or with a request_rate as many as come",
        ),
    ] = 0
    request_rate: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="requests a second, sent whether or not earlier ones are answered; 0: as answers come",
        ),
    ] = 0.0
    arrival: Annotated[
        Literal["poisson", "constant", "gamma"], Meta(description="how the times of a request_rate are spaced")
    ] = "poisson"
    burstiness: Annotated[
        float,
        Meta(gt=0, le=1000, description="shape of gamma arrivals: 1 is Poisson, below it bursts, above it more even"),
    ] = 1.0
    ramp_s: Annotated[
        float, Meta(ge=0, le=YEAR_S, description="seconds over which concurrency or rate grow to their level, in line")
    ] = 0.0
    steps: Annotated[
        str,
        Meta(
            description="levels one after the other, as in 10:30,20:30: 10 for 30 s, then 20 for 30 s, then it ends; "
            "of request_rate where that is set, else of concurrency; empty: one level"
        ),
    ] = ""
    trace: Annotated[
        str,
        Meta(
            description="file of arrivals and lengths: Mooncake or other JSONL with time stamps, Azure's CSV; replaces "
            "rate, lengths and prompts; empty: none",
            extra={"path": True},
        ),
    ] = ""
    lengths: Annotated[
        Literal["fixed", "normal", "uniform"],
        Meta(description="how input_len and output_len of [workload], which are the means, vary over requests"),
    ] = "fixed"
    length_spread: Annotated[
        float,
        Meta(ge=0, le=1, description="as a share of the mean: standard deviation (normal), half width (uniform)"),
    ] = 0.0
    shared_prefix: Annotated[
        float,
        Meta(ge=0, le=1, description="share of a prompt's tokens with which all prompts begin; else each begins anew"),
    ] = 0.0
    turns: Annotated[int, Meta(ge=1, le=1000, description="turns of a conversation; each is a request")] = 1
    ignore_eos: Annotated[
        bool, Meta(description="ask for exactly output_len tokens, where the server's dialect can say that")
    ] = True
    slo: Annotated[
        str,
        Meta(
            description="what a request has to keep to be good, as in ttft.p99<200ms tpot.mean<20ms; for goodput; "
            "empty: none"
        ),
    ] = ""


class CapacityConfig(Section, frozen=True):
    """How much load keeps load.slo: a search in place of a load at one level."""

    by: Annotated[
        Literal["none", "concurrency", "rate"],
        Meta(
            description="search the most requests in flight, or requests a second, that keep load.slo; none: measure "
            "the load as it is"
        ),
    ] = "none"
    start: Annotated[
        float, Meta(ge=0, le=65536, description="first level; 0: 1, or the least or most where that is not within")
    ] = 0.0
    least: Annotated[float, Meta(ge=0.001, le=65536, description="least level that is tried")] = 1.0
    most: Annotated[float, Meta(ge=0.001, le=65536, description="most that is tried")] = 4096.0
    tolerance: Annotated[
        float, Meta(ge=0.01, le=1, description="how near the boundary has to be known, as a share of it")
    ] = 0.05
    attainment: Annotated[
        float,
        Meta(ge=0.01, le=0.9999, description="share of the requests that have to keep a term without a statistic"),
    ] = 0.95
    stay_s: Annotated[float, Meta(ge=0, le=3600, description="seconds at a level, settled; 0: 10, of a rate 30")] = 0.0
    max_seconds: Annotated[float, Meta(gt=0, le=86400, description="for the whole search")] = 1800.0
    max_stays: Annotated[int, Meta(ge=1, le=1000, description="for the whole search")] = 40
    continues: Annotated[
        str, Meta(description="name of an earlier search in the same reports folder, which goes on as it was")
    ] = ""


_OF_ENGINES = ("model.", "engine.", "device.")
_OF_BATCHES = frozenset(
    {"workload.batch_size", "measurement.warmup", "measurement.iterations", "measurement.min_seconds"}
    | {"measurement.step_timeout_s", "measurement.total_timeout_s", "measurement.fresh_process"}
)


def heeded_by_endpoints(key: str, *, served: bool) -> bool:
    """Whether a key of a config says anything to a load; `served`: on a server that infertui starts for it."""
    if key.startswith(_OF_ENGINES) or key == "measurement.load_timeout_s":
        return served
    return not key.startswith("quality.") and key not in _OF_BATCHES
