"""trtllm-bench from outside: the documented options, and its data set."""

import json
from pathlib import Path

from support import trtllm

from infertui.runner.external import trtllm_bench

JOB = trtllm_bench.Job(
    model="meta-llama/Llama-3.1-8B",
    model_path=Path("/models/llama"),
    dataset=Path("/tmp/data.jsonl"),  # noqa: S108 (named, not made)
    report=Path("/tmp/report.json"),  # noqa: S108
    concurrency=8,
    max_input_len=100,
    max_seq_len=300,
    tensor_parallel=2,
    extra_options=Path("/tmp/extra.yaml"),  # noqa: S108
)


def test_the_command_uses_documented_options_alone() -> None:
    recorded = trtllm.surface()["trtllm-bench"]
    words = trtllm_bench.command("trtllm-bench", JOB)
    cut = words.index("throughput")
    for part, group in ((words[:cut], "group"), (words[cut:], "throughput")):
        known = {flag for flags in recorded[group] for flag in flags.split("|")}
        assert {word for word in part if word.startswith("--")} <= known
    told = " ".join(words)
    assert "--backend pytorch" in told
    assert "--concurrency 8" in told
    assert "--streaming" in words
    assert "--extra_llm_api_options /tmp/extra.yaml" in told


def test_the_data_set_is_token_ids_by_the_line() -> None:
    fields = trtllm.surface()["trtllm-bench"]["dataset_line"]["fields"]
    lines = [json.loads(line) for line in trtllm_bench.dataset([(1, 2), (3,)], 50).splitlines()]
    assert lines == [
        {"task_id": 0, "output_tokens": 50, "input_ids": [1, 2]},
        {"task_id": 1, "output_tokens": 50, "input_ids": [3]},
    ]
    assert set(lines[0]) <= set(fields)
    assert b"enable_block_reuse: false" in trtllm_bench.extra_options()
