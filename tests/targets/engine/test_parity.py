"""On the same weights every engine says the same: greedy tokens of each against those of Transformers in float32.

Each engine runs in a worker process, as in a run, from the prompts' text on: an output goes by its prompt's token ids,
so that tokenizers are compared, too.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.checkpoints import save_llama
from support.parity import Expected, mismatches

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.results.runs import outputs_of
from infertui.targets.engine.base import Capacity, LoadRequest, spec_of
from infertui.targets.engine.environments import environment_for, interpreter_for, probe_for
from infertui.targets.engine.verify import check_loaded
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import BatchDone, LoadDone, LoadModel, Measure, Proceed, Ready
from infertui.worker.session import name_of

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

TEXTS = (
    "the quick brown fox",
    "jumps",
    "over the lazy dog, again and again and again, and then once more for the quick brown fox, over and over",
    "Grüße, 世界",
)
FIRST = 8
TIMEOUT_S = 280
TIE = 1e-4
"""Logits closer than this are decided by the rounding of float32; between all of a position they spread by 0.5."""
ROUNDED_TIE = 0.15
"""The same for weights rounded to 8 bits, which move each logit by some hundredths."""


class Case(NamedTuple):
    """An engine and its options; logits that are less than `tie` apart are a tie for it."""

    label: str
    engine: EngineConfig
    tie: float


def case(name: str, *, quantization: str = "auto", mode: str = "auto", **options: Any) -> Any:
    label = " ".join((name, *(word for word in (mode, quantization) if word != "auto")))
    engine = EngineConfig(name=name, dtype="float32", mode=mode, quantization=quantization, **options)
    return pytest.param(Case(label, engine, TIE if quantization == "auto" else ROUNDED_TIE), id=label)


EXACT = LlamaCppOptions(type_k="f32", type_v="f32")
CASES = [
    case("transformers", mode="eager"),
    case("transformers", mode="static"),
    case("transformers", mode="continuous"),
    case("vllm", mode="eager"),
    case("llama-cpp", llama_cpp=EXACT),
    case("llama-cpp", quantization="q8_0"),
    case("openvino"),
    case("openvino", quantization="q8_0"),
    case("onnxruntime-genai"),
]


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_llama(folder)
    return folder


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> dict[str, Expected]:
    """What Transformers' own forward pass gives, each prompt by itself, nothing cached and nothing padded."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    found = {}
    for text in TEXTS:
        prompt = tokenizer.encode(text)
        ids, logits = list(prompt), []
        with torch.no_grad():
            for _ in range(FIRST):
                logits.append(model(torch.tensor([ids])).logits[0, -1].tolist())
                ids.append(int(max(range(len(logits[-1])), key=logits[-1].__getitem__)))
        found[text] = Expected(tuple(prompt), tuple(ids[len(prompt) :]), logits)
    return found


def test_the_reference_leaves_no_choice_to_rounding(reference: dict[str, Expected]) -> None:
    """Else a difference between engines would mean nothing. Different tokens are there, so that it means much."""
    assert len(reference) == len(TEXTS)
    margins = [expected.margin(position) for expected in reference.values() for position in range(FIRST)]
    assert min(margins) > 10 * TIE
    assert len({token for expected in reference.values() for token in expected.ids}) > FIRST


@pytest.mark.timeout(300)  # vLLM takes minutes to load on a CPU that has other things to do
@pytest.mark.parametrize("case", CASES)
def test_an_engine_says_what_transformers_says(
    case: Case, checkpoint: Path, reference: dict[str, Expected], tmp_path: Path
) -> None:
    status = probe_for(case.engine)
    if not status.available:
        pytest.skip(f"{case.engine.name}: {status.reason}")
    outputs = asyncio.run(generated(case, checkpoint, tmp_path / "worker.log"))
    texts = {name_of(expected.prompt): text for text, expected in reference.items()}
    assert set(outputs) == set(texts), f"{case.label}: its prompts have other token ids"
    by_text = {texts[name]: ids for name, ids in outputs.items()}
    found = list(mismatches(case.label, by_text, reference, first=FIRST, tie=case.tie))
    wrong = [mismatch for mismatch in found if not mismatch.tie]
    assert not wrong, "\n".join(map(str, wrong))
    # After a tie nothing more is compared: that has to be the exception.
    agreed = sum(FIRST for _ in reference) - sum(FIRST - mismatch.position for mismatch in found)
    assert agreed >= 0.75 * FIRST * len(reference), "\n".join(map(str, found))


async def generated(case: Case, checkpoint: Path, log: Path) -> dict[str, tuple[int, ...]]:
    """The tokens of every prompt, all in one batch, by the name of the prompt's ids."""
    request = LoadRequest(
        ModelConfig(id=str(checkpoint)), case.engine, DeviceConfig(name="cpu", threads=1),
        capacity=Capacity(len(TEXTS), 128, FIRST) if spec_of(case.engine.name).sized_at_load else None,
    )  # fmt: skip
    command = Measure(
        WorkloadConfig(batch_size=len(TEXTS), output_len=FIRST), MeasurementConfig(warmup=1), TEXTS, iterations=1
    )
    python = interpreter_for(case.engine)
    environment = environment_for(python)
    more = {} if python is None else {"python": str(python)}
    found: dict[str, tuple[int, ...]] = {}
    async with asyncio.timeout(TIMEOUT_S), await WorkerProcess.spawn(log, environment, **more) as worker:
        await worker.hello()
        async for event in worker.load(LoadModel(request), timeout_s=TIMEOUT_S):
            if isinstance(event, LoadDone):
                check_loaded(case.engine, event.loaded)
        async for measured in worker.measure(command, deadline=None):
            if isinstance(measured, Ready):
                await worker.send(Proceed())
            elif isinstance(measured, BatchDone) and measured.batch.phase == "measure":
                found |= {output.prompt_sha256: output.output for output in outputs_of(measured.batch)}
    return found
