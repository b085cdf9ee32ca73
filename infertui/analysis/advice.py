"""Whether the engine of a run would take what one could advise: its rules on what goes together. Pure.

Each rule is one by which an engine refuses a config before or while it loads; see `infertui.targets.engine`.
"""

from infertui.config.engines.registry import SPECS
from infertui.metrics.reads import in_force
from infertui.results.result import Result
from infertui.targets.engine.base import Loaded

_GGUF_ENGINES = ("llama-cpp", "openvino")
_FUSED_FORMATS = ("int8", "fp8")


def larger_batch(result: Result, loaded: Loaded) -> str:
    """The key, with what has to be given up for it.

    Transformers checks drafts of one sequence at a time; the fused kernels read quantised weights for one alone.
    """
    setup, given_up = result.setup, list[str]()
    if graph_step(result) == "fused" and quantized(result):
        given_up.append("engine.transformers.graph_step=compiled")
    if loaded.engine == "transformers" and speculates(result):
        given_up.append("engine.speculation=none")
        given_up += ["no engine.draft_model"] if setup.get("engine.draft_model") else []
        given_up += ["engine.draft_tokens=0"] if setup.get("engine.draft_tokens") else []
    return "a larger workload.batch_size" + "".join(f" with {one}" for one in given_up)


def captured(result: Result, loaded: Loaded) -> str:
    """What makes one launch of a step of Transformers; empty where that is so, or cannot be."""
    mode = in_force(result, "mode")
    if mode == "cudagraph" or not _own(result, loaded) or speculates(result) or (result.setup.tensor_parallel or 1) > 1:
        return ""
    given_up = []
    if mode == "compile":
        # A graph of the kernels as they are loses what compiling them has won: on an H200 by up to a quarter.
        given_up.append("engine.transformers.graph_step=compiled")
    if "flash" in (in_force(result, "attention") or loaded.attention):
        given_up.append("engine.attention=sdpa")  # flash attention takes no mask
    return "engine.mode=cudagraph" + "".join(f" with {one}" for one in given_up)


def fuses(result: Result, loaded: Loaded) -> bool:
    """Whether infertui's kernels can run it: a Llama-like model, of whose quantised weights each row has one scale."""
    if not _own(result, loaded) or loaded.details.get("model_class", "").startswith("GPT"):
        return False
    return not quantized(result) or (alone(result) and in_force(result, "quantization") in _FUSED_FORMATS)


def narrower(result: Result, loaded: Loaded, *wanted: str) -> str:
    """What holds the weights in fewer bits, of the words `wanted`; empty where nothing does."""
    if loaded.engine == "tensorrt-llm":
        return "a checkpoint in FP8" if "fp8" in wanted else ""  # it quantizes nothing itself
    known = words(result, loaded, "quantization")
    found = [word for word in wanted if word in known]
    setup = result.setup
    if not found or (loaded.engine == "transformers" and (setup.tensor_parallel or 1) > 1):
        return ""
    if loaded.engine in _GGUF_ENGINES and (setup.model or "").lower().endswith(".gguf"):
        return f"a model file in {' or '.join(found)}"  # a file is what it is
    dtype = setup.get("engine.dtype")
    rest = loaded.engine == "llama-cpp" and dtype not in ("auto", "float32", None)  # all but matrices is float32
    rest |= loaded.engine == "onnxruntime-genai" and loaded.device != "cpu" and dtype not in ("auto", None)
    return f"engine.quantization={' or '.join(found)}" + (" with engine.dtype=auto" if rest else "")


def narrower_kv(result: Result, loaded: Loaded) -> str:
    """What holds keys and values in fewer bits; empty where the engine has nothing for it, or it is so."""
    asked = result.setup.get
    if not _own(result, loaded):
        return ""
    match loaded.engine:
        case "vllm" if asked("engine.vllm.kv_cache_dtype") == "auto":
            return "engine.vllm.kv_cache_dtype=fp8"
        case "tensorrt-llm" if asked("engine.tensorrt_llm.kv_cache_dtype") == "auto":
            if asked("engine.tensorrt_llm.backend") == "pytorch":
                return "engine.tensorrt_llm.kv_cache_dtype=fp8"
        case "llama-cpp" if asked("engine.llama_cpp.type_k") in ("f16", "f32", "bf16"):
            return "engine.llama_cpp.type_k=q8_0"
        case "openvino" if asked("engine.openvino.kv_cache") != "u8":
            return "engine.openvino.kv_cache=u8"
    return ""


def divides(result: Result, loaded: Loaded) -> bool:
    """Whether each layer can be divided over more GPUs."""
    if loaded.device == "cpu" or not _own(result, loaded) or "tensor_parallel" not in SPECS[loaded.engine].common:
        return False
    plain = in_force(result, "mode") in ("", "eager", "static") and not quantized(result) and not speculates(result)
    return loaded.engine != "transformers" or plain


def words(result: Result, loaded: Loaded, option: str) -> tuple[str, ...]:
    """The words that an option takes; none where another engine than the one asked for stood in."""
    if not _own(result, loaded):
        return ()
    return next((words for name, words in SPECS[loaded.engine].common.items() if name == option), ())


def _own(result: Result, loaded: Loaded) -> bool:
    """Whether keys of the config reach the engine that ran; not so of a fallback, nor of one that is gone."""
    return loaded.engine in SPECS and result.setup.target.name == loaded.engine


def graph_step(result: Result) -> str:
    """What a captured step was made of; empty where none was."""
    return result.effective.facts.get("graph_step", "") if result.effective else ""


def quantized(result: Result) -> bool:
    """Whether the weights were, as far as the engine said."""
    return in_force(result, "quantization") not in ("", "none")


def speculates(result: Result) -> bool:
    """Whether tokens were drafted."""
    return (in_force(result, "speculation") or result.setup.speculation) not in ("", "none", None)


def alone(result: Result) -> bool:
    """Whether there is one sequence, whose tokens are chosen greedily."""
    return result.setup.batch_size == 1 and result.setup.temperature == 0
