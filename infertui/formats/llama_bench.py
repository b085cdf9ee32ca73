"""What llama-bench, llama.cpp's own benchmark, writes with `-o json`, `-o jsonl` and `-o csv`.

llama-bench feeds random token ids and takes no choice of tokens: its rates are those of llama.cpp without sampling. It
gives the time of each repetition as a whole, so first-token times and gaps are not available; in CSV it gives their
mean and deviation alone, and not how many there were. Times are in nanoseconds. Fields as in
tools/llama-bench/llama-bench.cpp.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.formats.imported_run import Finding, as_given, contradiction, loaded_as, moment
from infertui.formats.reader import SourceFile
from infertui.measure.statistics import describe
from infertui.measure.summary import Summary, with_drift, with_interval
from infertui.results.setup import Value
from infertui.targets.engine.base import Loaded
from infertui.text import clean, one_line

NAME = "llama-bench"
_NS = 1_000_000_000
_MAX_TESTS = 10_000
_KV_TYPES = ("f16", "f32", "bf16", "q8_0", "q4_0")
_OFF = (None, False, 0, "off", "0", "false")
_CHOSEN_BY_IT = (None, -1, "-1", "auto")

_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Text = Annotated[str, Meta(max_length=4096)]


class BenchTest(Struct, frozen=True):
    """One test of a report, by the names that llama-bench gives. Times are in nanoseconds.

    `samples_ns` has one sample a repetition; a report in CSV has none, and their mean `avg_ns` instead. None, and an
    empty text, is what a report does not tell.
    """

    n_prompt: Annotated[int, Meta(ge=0, le=1 << 22)]
    n_gen: Annotated[int, Meta(ge=0, le=1 << 20)]
    samples_ns: Annotated[tuple[Annotated[int, Meta(gt=0, le=1 << 62)], ...], Meta(max_length=1_000_000)] = ()
    avg_ns: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    stddev_ns: Annotated[int, Meta(ge=0, le=1 << 62)] | None = None
    n_depth: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    build_commit: _Text = ""
    build_number: _Count = 0
    cpu_info: _Text = ""
    gpu_info: _Text = ""
    backends: _Text = ""
    model_filename: _Text = ""
    model_type: _Text = ""
    model_size: _Count = 0
    model_n_params: _Count = 0
    n_batch: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    n_ubatch: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    n_threads: Annotated[int, Meta(ge=0, le=4096)] | None = None
    n_gpu_layers: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    type_k: _Text = ""
    type_v: _Text = ""
    flash_attn: Any = None
    test_time: _Text = ""

    @property
    def label(self) -> str:
        """As llama-bench's table names it: pp512, tg128, pp512+tg128, with @ and the depth where there is one."""
        parts = [f"{kind}{count}" for kind, count in (("pp", self.n_prompt), ("tg", self.n_gen)) if count]
        return "+".join(parts) + (f"@{self.n_depth}" if self.n_depth else "")

    @property
    def source(self) -> str:
        """Who measured."""
        return f"{NAME} build {one_line(self.build_commit, 40) or 'unknown'}"


def parse_report(report: bytes) -> tuple[BenchTest, ...]:
    """The tests of a report that `llama-bench -o json` wrote. Raises UsageError for anything else."""
    source = SourceFile.of(report, f"the report of {NAME}")
    return tests_of(source, source.document())


def tests_of(source: SourceFile, document: object) -> tuple[BenchTest, ...]:
    """The tests of `-o json`, decoded."""
    if not isinstance(document, list) or not 0 < len(document) <= _MAX_TESTS:
        source.refuse("", f"is no list of 1 to {_MAX_TESTS} tests", f"{NAME} -o json writes one.")
    return tuple(read_test(source, entry, f"$[{number}]") for number, entry in enumerate(document))


def read_test(source: SourceFile, entry: object, where: str, *, of_csv: bool = False) -> BenchTest:
    """One test, decoded from JSON, or of texts from CSV, which has no samples."""
    try:
        test = msgspec.convert(entry, BenchTest, strict=not of_csv)
    except msgspec.ValidationError as error:
        source.refuse(where, str(error))
    except UnicodeEncodeError:
        source.refuse(where, "holds half of a character")
    if not test.n_prompt and not test.n_gen:
        source.refuse(where, "is a test of no token at all")
    if not (test.avg_ns if of_csv else test.samples_ns):
        source.refuse(where, f"has no time: {'avg_ns' if of_csv else 'samples_ns'} is missing or empty")
    return test


def is_one(first: dict[str, object]) -> bool:
    """Whether an object, or the heading of a CSV, is a test."""
    return all(name in first for name in ("n_prompt", "n_gen", "avg_ns", "build_commit"))


def csv_tests(source: SourceFile) -> list[BenchTest]:
    """The tests of `-o csv`."""
    try:
        text = source.whole().decode()
    except UnicodeDecodeError as error:
        source.refuse("", f"byte {error.start + 1} is no UTF-8")
    tests: list[BenchTest] = []
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        if len(set(names)) < len(names):
            source.refuse("line 1", "names a column twice")
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                source.refuse(where, "has more or fewer values than the heading has names")
            if len(tests) >= _MAX_TESTS:
                source.refuse(where, f"there are more than {_MAX_TESTS} tests")
            # JSON alone has samples; an empty value is one that is not told.
            entry = {name: value for name, value in row.items() if value != "" and name != "samples_ns"}
            tests.append(read_test(source, entry, where, of_csv=True))
    except csv.Error as error:
        source.refuse(f"line {reader.line_num + 1}", f"is no CSV: {error}")
    if not tests:
        source.refuse("", "has a heading and no test")
    return tests


def read(tests: Iterable[BenchTest]) -> list[Finding]:
    """A run for each test."""
    return [_finding(test) for test in tests]


def on_gpu(test: BenchTest) -> bool:
    """Whether a GPU took part."""
    return bool(test.gpu_info) and test.n_gpu_layers != 0


def notes_of(test: BenchTest) -> list[str]:
    """What a reader should know."""
    return [] if test.n_gen else ["prompt processing alone: no token was generated"]


def options_of(test: BenchTest) -> LlamaCppOptions:
    """The options that ask infertui's own engine for the same, as far as it has them."""
    return LlamaCppOptions(**{"flash_attention": test.flash_attn not in _OFF, **told_options(test)})


def told_options(test: BenchTest) -> dict[str, Any]:
    """Those that a test tells, and that infertui has a word for."""
    kinds = {name: getattr(test, name) for name in ("type_k", "type_v") if getattr(test, name) in _KV_TYPES}
    layers = None if test.n_gpu_layers is None else min(test.n_gpu_layers, 10_000)
    flash = None if test.flash_attn in _CHOSEN_BY_IT else test.flash_attn not in _OFF
    counts = {"n_gpu_layers": layers, "n_batch": test.n_batch, "n_ubatch": test.n_ubatch, "flash_attention": flash}
    return {name: value for name, value in counts.items() if value is not None} | kinds


def summary_of(test: BenchTest) -> Summary:
    """Its figures. Without samples there are means and the latency's deviation, the sample's, and no interval."""
    prefill = not test.n_gen
    if not test.samples_ns:
        spread = test.stddev_ns / _NS if test.stddev_ns else None  # 0 is that of a single repetition
        seconds = test.avg_ns / _NS
        return Summary(
            iterations=None,
            requests=None,
            failed=0,
            prompt_tokens=None,
            output_tokens=None,
            measured_s=None,
            output_throughput=test.n_gen / seconds if test.n_gen else None,
            total_throughput=(test.n_prompt + test.n_gen) / seconds,
            latency=as_given(0, mean=seconds, std=spread),
            prefill_throughput=test.n_prompt / seconds if prefill else None,
        )
    times = [sample / _NS for sample in test.samples_ns]
    count, total = len(times), sum(times)
    summary = Summary(
        iterations=count,
        requests=count,
        failed=0,
        prompt_tokens=test.n_prompt * count,
        output_tokens=test.n_gen * count,
        measured_s=total,
        output_throughput=test.n_gen * count / total if test.n_gen else None,
        total_throughput=(test.n_prompt + test.n_gen) * count / total,
        latency=describe(times),
        prefill_throughput=test.n_prompt * count / total if prefill else None,
    )
    if test.n_gen:
        summary = with_interval(summary, [float(test.n_gen)] * count, times)
    return with_drift(summary, [1 / sample for sample in times])


def loaded_of(test: BenchTest) -> Loaded:
    """What ran."""
    known = {"weights": test.model_type, "backends": test.backends, "test": test.label, "time": test.test_time}
    # Formats of the KV cache that no config of ours has a word for.
    known |= {name: kind for name in ("type_k", "type_v") if (kind := getattr(test, name)) not in _KV_TYPES}
    gpu = on_gpu(test)
    return msgspec.structs.replace(
        loaded_as(
            NAME,
            versions={NAME: f"{clean(test.build_commit)} ({test.build_number})"},
            device_name=one_line(test.gpu_info if gpu else test.cpu_info),
            details=known,
        ),
        device="cuda:0" if gpu and "CUDA" in test.backends else "gpu" if gpu else "cpu",
        parameters=test.model_n_params or None,
        weight_bytes=test.model_size or None,
        memory_policy="llama-bench's own",
        threads=test.n_threads or None,
    )


def _finding(test: BenchTest) -> Finding:
    """A test of a file. A prompt that was filled in beforehand (`n_depth`) counts as prompt, and was not timed."""
    told: dict[str, Value] = {
        "engine.name": "llama-cpp",
        "workload.batch_size": 1,
        "workload.prompts": "random",
        **{f"engine.llama_cpp.{name}": value for name, value in told_options(test).items()},
    }
    told |= {"device.threads": test.n_threads} if test.n_threads else {}
    told |= {"model.id": test.model_filename} if test.model_filename.strip() else {}
    told |= {"workload.input_len": test.n_prompt + test.n_depth} if test.n_prompt + test.n_depth else {}
    told |= {"workload.output_len": test.n_gen} if test.n_gen else {}
    told |= {"measurement.iterations": len(test.samples_ns)} if test.samples_ns else {}
    return Finding(
        source=test.source,
        title=f"{NAME} {test.label}",
        summary=summary_of(test),
        config=told,
        started=moment(test.test_time),
        loaded=loaded_of(test),
        notes=("no first-token times, no gaps", *notes_of(test)),
        invalid=contradiction("avg_ns", test.avg_ns or None, _mean(test.samples_ns)),
    )


def _mean(samples: Sequence[int]) -> float | None:
    return sum(samples) / len(samples) if samples else None
