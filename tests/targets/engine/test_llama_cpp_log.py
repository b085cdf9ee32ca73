"""What llama.cpp's log says of loading, by lines that real builds wrote."""

import pytest

from infertui.targets.engine.llama_cpp.library import DEBUG, ERROR, INFO, WARN, read_log, unfitted

CUDA = [
    (INFO, "load_tensors: offloading 10 repeating layers to GPU\n"),
    (INFO, "load_tensors: offloaded 10/23 layers to GPU\n"),
    (INFO, "load_tensors:   CPU_Mapped model buffer size =   636.87 MiB\n"),
    (INFO, "load_tensors:        CUDA0 model buffer size =   455.08 MiB\n"),
    (INFO, "llama_kv_cache:      CUDA0 KV buffer size =     5.00 MiB\n"),
    (INFO, "llama_kv_cache:        CPU KV buffer size =     6.00 MiB\n"),
    (INFO, "llama_kv_cache: size = 11.00 MiB ( 256 cells, 22 layers, 1/1 seqs), K (f16): 5.50 MiB, V (q8_0): 5.50 MiB"),
    (INFO, "sched_reserve:      CUDA0 compute buffer size =    66.50 MiB\n"),
    (INFO, "sched_reserve:  CUDA_Host compute buffer size =     8.01 MiB\n"),
    (INFO, "llama_context: flash_attn            = auto\n"),
    (INFO, "sched_reserve: Flash Attention was auto, set to enabled\n"),
]  # fmt: skip


def test_layers_and_buffers_of_a_gpu_build() -> None:
    account = read_log(CUDA)
    assert (account.offloaded, account.layers) == (10, 23)
    assert account.buffers[("CUDA0", "model")] == round(455.08 * (1 << 20))
    assert account.on_devices() == sum(round(size * (1 << 20)) for size in (455.08, 5.0, 66.5))
    assert (account.type_k, account.type_v) == ("f16", "q8_0")
    assert account.flash is True


@pytest.mark.parametrize(
    ("line", "flash"),
    [
        ("llama_context: flash_attn            = disabled", False),
        ("llama_context: flash_attn            = enabled", True),
        ("resolve_fused_ops: Flash Attention enabled", True),
        ("sched_reserve: Flash Attention was auto, set to disabled", False),
        ("llama_context: flash_attn            = auto", None),
        ("something else", None),
    ],
)
def test_what_is_said_of_flash_attention(line: str, flash: bool | None) -> None:
    assert read_log([(INFO, line)]).flash is flash


@pytest.mark.parametrize(("operation", "flash"), [("FLASH_ATTN_EXT", True), ("SOFT_MAX", False)])
def test_the_graph_is_believed_before_what_is_said(operation: str, flash: bool) -> None:
    node = f"input tensor ' attn_inp_kq_mask' [f16, ne = {{ 512 }}] is used by node 'node_23' ({operation})"
    said = "enabled" if not flash else "disabled"
    assert read_log([(DEBUG, node), (INFO, f"llama_context: flash_attn = {said}")]).flash is flash


def test_without_a_gpu_the_layers_are_counted_where_they_are_assigned() -> None:
    lines = [(DEBUG, f"load_tensors: layer {n:3} assigned to device {'CPU' if n < 3 else 'CUDA0'}") for n in range(5)]
    account = read_log(lines)
    assert (account.offloaded, account.layers) == (2, 5)


def test_errors_are_kept_and_safe_to_show() -> None:
    lines = [(ERROR, f"error {number} \x1b]0;title\x07\n") for number in range(20)]
    account = read_log(lines)
    assert account.errors == tuple(f"error {number} " for number in range(12, 20))
    assert account.out_of_memory == ""


@pytest.mark.parametrize(
    "line",
    [
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9.0 MiB on device 0: cudaMalloc failed: out of memory",
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 104857600",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
    ],
)
def test_memory_exhaustion_is_recognised(line: str) -> None:
    assert read_log([(WARN, "harmless"), (ERROR, line)]).out_of_memory == line


def test_nothing_said_is_not_known() -> None:
    account = read_log([])
    assert (account.offloaded, account.layers, account.flash, account.type_k, account.errors) == (
        None,
        None,
        None,
        "",
        (),
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (0, ""),
        (9, ""),
        (10, ""),
        (-1, "llama.cpp put 10 of 23 layers on the GPU, though 23 were asked for; its buffers: "),
        (99, "llama.cpp put 10 of 23 layers on the GPU, though 23 were asked for; its buffers: "),
        (11, "llama.cpp put 10 of 23 layers on the GPU, though 11 were asked for; its buffers: "),
    ],
)
def test_a_load_that_put_fewer_layers_on_the_gpu_is_named(asked: int, said: str) -> None:
    found = unfitted(read_log(CUDA), asked, 23)
    assert found.startswith(said) if said else found == ""
    assert ("CUDA0 model 455 MiB" in found) == bool(said)


def test_a_build_that_cannot_use_the_gpu_is_named_by_its_buffers() -> None:
    silent = [(INFO, "load_tensors:          CPU model buffer size =  460.74 MiB")]
    assert "kept every layer on the CPU" in unfitted(read_log(silent), -1, 23)
    boasting = [*silent, (INFO, "load_tensors: offloaded 23/23 layers to GPU")]
    assert unfitted(read_log(boasting), 5, 23).endswith("its buffers: CPU model 461 MiB")
    assert unfitted(read_log([]), 0, 23) == ""


def test_experts_that_were_kept_in_host_memory_are_counted_by_layer() -> None:
    names = ("ffn_gate_exps", "ffn_down_exps", "ffn_up_exps", "ffn_up_chexps")
    lines = [
        (DEBUG, f"tensor blk.{layer}.{name}.weight (118 MiB q4_0) buffer type overridden to CPU")
        for layer in range(3)
        for name in names
    ]
    assert read_log(lines).cpu_experts == 3
    assert read_log([(DEBUG, "tensor blk.0.attn_q.weight (1 MiB q4_0) buffer type overridden to CPU")]).cpu_experts == 0
