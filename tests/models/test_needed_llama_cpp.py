"""What llama.cpp itself says that a context keeps, against the estimate. It allocates nothing for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infertui.config.parse import decode
from infertui.models.gguf.write import write_gguf
from infertui.models.memory.of_engine import Task, llama_cpp_cells, needed
from infertui.models.resolve import resolve

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: nothing to compare with")
pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
if not {"no_alloc", "load_mode"} <= {field[0] for field in llama_cpp.llama_model_params._fields_}:
    pytest.skip("this llama.cpp cannot load without allocating", allow_module_level=True)

# Loads each file of [path, positions, sequences, K, V], and gives the megabytes of its cache.
ASKING = """
import json, re, sys
import llama_cpp as api
lines = []
heard = api.llama_log_callback(lambda level, text, _: lines.append(text.decode(errors="replace")))
api.llama_log_set(heard, None)
api.llama_backend_init()
types = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
for path, positions, sequences, keys, values in json.load(sys.stdin):
    lines.clear()
    params = api.llama_model_default_params()
    params.no_alloc, params.n_gpu_layers, params.load_mode = True, 0, api.LLAMA_LOAD_MODE_NONE
    model = api.llama_model_load_from_file(path.encode(), params)
    own = api.llama_context_default_params()
    own.n_ctx, own.n_seq_max, own.flash_attn_type = positions, sequences, 1
    own.type_k, own.type_v = types[keys], types[values]
    context = api.llama_init_from_model(model, own)
    print(json.dumps([float(size) for size in re.findall(r"llama_kv_cache: size = +([0-9.]+) MiB", "".join(lines))]))
    api.llama_free(context)
    api.llama_model_free(model)
"""


def test_llama_cpp_keeps_what_is_estimated(tmp_path: Path) -> None:
    common = {"hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256,
              "vocab_size": 512, "max_position_embeddings": 4096}  # fmt: skip
    configs: list[dict[str, Any]] = [
        {"model_type": "llama", "num_key_value_heads": 4, **common},
        {"model_type": "llama", "num_key_value_heads": 1, "head_dim": 128, **common},
        {"model_type": "gpt2", "n_embd": 128, "n_layer": 5, "n_head": 2, "vocab_size": 512, "n_positions": 1024},
    ]
    asked, estimated = [], []
    for number, config in enumerate(configs):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        path = folder / "model.gguf"
        write_gguf(resolve(f"synthetic:{folder / 'config.json'}"), path, "f16")
        for batch, prompt, n_ctx, keys, values in (
            (1, 100, 0, "f16", "f16"),
            (3, 500, 0, "f16", "f16"),
            (2, 100, 1000, "q8_0", "q4_0"),
            (1, 600, 0, "f32", "f16"),
        ):
            own = {"n_ctx": n_ctx, "type_k": keys, "type_v": values}
            engine = decode({"engine": {"name": "llama-cpp", "llama_cpp": own}}).engine
            task = Task(batch, prompt, 20)
            found = needed(resolve(str(path)), engine, "cpu", task)
            assert found is not None
            estimated.append(found.kv_cache / (1 << 20))
            asked.append([str(path), llama_cpp_cells(engine.llama_cpp, task) * batch, batch, keys, values])
    done = subprocess.run(
        [sys.executable, "-c", ASKING], input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sum(sizes) for sizes in told] == pytest.approx(estimated, abs=0.006)
