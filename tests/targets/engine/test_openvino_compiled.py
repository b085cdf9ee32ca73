"""What is believed of a compiled model: only what OpenVINO said of the language model, and only what it did say."""

import ctypes
import os

import pytest

from infertui.targets.engine.openvino.inspection import listening, properties_in, scheduler_in

TOKENIZER = """Model: OV Tokenizer
  INFERENCE_PRECISION_HINT: bf16
  KV_CACHE_PRECISION: u8
EXECUTION_DEVICES:
 CPU: One
"""
MODEL = """SchedulerConfig {
  num_kv_blocks: 5
 }
Model: LLM with Paged Attention
  NETWORK_NAME: llama
  INFERENCE_PRECISION_HINT: f32
  EXECUTION_DEVICES: CPU
  MODEL_DISTRIBUTION_POLICY: 
  KV_CACHE_PRECISION: f16
  RUNTIME_REQUIREMENTS: meta=1.0;ov=2026.4.1
EXECUTION_DEVICES:
 CPU: Some Processor: 3 GHz
"""  # noqa: W291


def test_the_language_model_s_properties_are_taken() -> None:
    found = properties_in(TOKENIZER + MODEL)
    assert found["INFERENCE_PRECISION_HINT"] == "f32"
    assert found["KV_CACHE_PRECISION"] == "f16"
    assert found["EXECUTION_DEVICES"] == "CPU"
    assert found["MODEL_DISTRIBUTION_POLICY"] == ""
    assert found["DEVICE"] == "Some Processor: 3 GHz"


def test_what_follows_for_another_model_does_not_count() -> None:
    assert properties_in(MODEL + TOKENIZER)["INFERENCE_PRECISION_HINT"] == "f32"


def test_the_last_one_counts() -> None:
    again = MODEL.replace("f16", "u8")
    assert properties_in(MODEL + again)["KV_CACHE_PRECISION"] == "u8"


@pytest.mark.parametrize(
    "text", ["", TOKENIZER, "Model: LLM\nnothing", "Model: LLM\n  NETWORK_NAME: x\n", "\x00: :\n:"]
)
def test_nothing_is_made_up(text: str) -> None:
    assert properties_in(text) == {}


def test_the_scheduler_s_settings_are_the_last_that_were_told() -> None:
    assert scheduler_in(MODEL + MODEL.replace("5\n", "7\n  enable_prefix_caching: false\n")) == {
        "num_kv_blocks": "7",
        "enable_prefix_caching": "false",
    }
    assert scheduler_in(TOKENIZER) == {}


def test_what_a_library_writes_is_heard_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    before = os.environ.get("OPENVINO_LOG_LEVEL")
    library.puts(b"before")
    with listening() as told:
        assert os.environ["OPENVINO_LOG_LEVEL"] == "3"
        library.puts(MODEL.encode())
        os.write(1, b"raw \xff\n")
    library.puts(b"after")
    library.fflush(None)
    assert told.properties["KV_CACHE_PRECISION"] == "f16"
    assert os.environ.get("OPENVINO_LOG_LEVEL") == before
    written = capfd.readouterr().out
    assert written.index("before") < written.index("NETWORK_NAME") < written.index("raw") < written.index("after")


def test_it_is_passed_on_when_loading_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with listening():
            os.write(1, b"the last words\n")
            raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        load()
    assert "the last words" in capfd.readouterr().out


def test_the_name_of_a_model_is_not_how_it_was_compiled() -> None:
    """A model read from a GGUF file is named by counting: the second one, to score with, has another name."""
    name = "NETWORK_NAME: llama"
    assert name in MODEL
    assert properties_in(MODEL.replace(name, "NETWORK_NAME: Model17")) == properties_in(MODEL)
