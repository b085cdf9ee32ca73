"""Reading a start from the log. The lines are those that the library prints, in the order in which it does."""

import os
import sys
from pathlib import Path

from infertui.targets.engine.tensorrt_llm.stream import OwnOutput, parse

LOG = """\
[TensorRT-LLM] TensorRT-LLM version: 1.1.0rc3
[12/20/2025-04:20:04] [TRT-LLM] [I] Using LLM with PyTorch backend
[12/20/2025-04:20:19] [TRT-LLM] [I] ATTENTION RUNTIME FEATURES:  AttentionRuntimeFeatures(chunked_prefill=False, cache_reuse=True, has_speculative_draft_tokens=False, chunk_size=8192)
[12/20/2025-04:21:09] [TRT-LLM] [I] Using Sampler: TorchSampler
[TensorRT-LLM][INFO] Number of tokens per block: 32.
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.56 GiB for max tokens in paged KV cache (8224).
[12/20/2025-04:21:10] [TRT-LLM] [I] max_seq_len=8224, max_num_requests=64, max_num_tokens=8192, max_batch_size=64
[12/20/2025-04:21:37] [TRT-LLM] [I] Run generation only CUDA graph warmup for batch size=64, draft_len=0
[12/20/2025-04:21:37] [TRT-LLM] [I] Run generation only CUDA graph warmup for batch size=56, draft_len=0
[12/20/2025-04:21:50] [TRT-LLM] [I] Memory used after loading model weights (inside torch) in memory usage profiling: 63.52 GiB
[12/20/2025-04:21:50] [TRT-LLM] [I] Memory used after loading model weights (outside torch) in memory usage profiling: 49.78 GiB
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 5.95 GiB for max tokens in paged KV cache (86720).
[12/20/2025-04:21:52] [TRT-LLM] [I] max_seq_len=86720, max_num_requests=64, max_num_tokens=8192, max_batch_size=64
[10/21/2025-23:24:47] [TRT-LLM] [RANK 0] [I] Run generation only CUDA graph warmup for batch size=32, draft_len=0
[12/20/2025-04:21:53] [TRT-LLM] [I] Run generation-only CUDA graph warmup for batch size=1, draft_len=0, max_seq_len=64
"""  # noqa: E501 (printed so)


def test_the_last_pool_and_the_graphs_after_it_count() -> None:
    log = parse(LOG)
    assert log.talks
    assert log.backend == "pytorch"
    assert (log.kv_tokens, log.kv_bytes) == (86720, round(5.95 * 2**30))
    assert log.tokens_per_block == 32
    assert log.graphs == (1, 32)
    assert log.weight_bytes == round(63.52 * 2**30)
    assert (log.chunked_prefill, log.block_reuse) == (False, True)
    assert (log.max_batch_size, log.max_num_tokens, log.sampler) == (64, 8192, "TorchSampler")


def test_nothing_said_is_nothing_known() -> None:
    assert not parse("").talks
    # This one line comes at every level: it does not tell that others would have come.
    quiet = parse("[11/20/2026-12:00:00] [TRT-LLM] [I] Using LLM with PyTorch backend\n")
    assert not quiet.talks
    assert quiet.backend == "pytorch"
    assert quiet.kv_tokens is None
    assert quiet.graphs == ()


def test_only_what_was_written_since_is_read(tmp_path: Path) -> None:
    sys.stdout.flush()
    kept, log = os.dup(1), os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        os.dup2(log, 1)
        os.write(1, b"before\n")
        output = OwnOutput()
        os.write(1, b"since\n")
        assert output.text() == "since\n"
        (tmp_path / "log").unlink()
        assert output.text() == "since\n"
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(log)


def test_a_pipe_cannot_be_read_back() -> None:
    sys.stdout.flush()
    kept, (reading, writing) = os.dup(1), os.pipe()
    try:
        os.dup2(writing, 1)
        assert OwnOutput().text() == ""
    finally:
        os.dup2(kept, 1)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)
