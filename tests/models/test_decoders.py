from typing import Any

import pytest

from infertui.errors import ModelError
from infertui.models.decoders import check_decoder


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "bert is an encoder"),
        ({"model_type": "xlm-roberta"}, "xlm-roberta is an encoder"),
        ({"model_type": "modernbert", "architectures": ["ModernBertModel"]}, "modernbert is an encoder"),
        ({"model_type": "t5", "architectures": ["T5EncoderModel"]}, "t5 is an encoder with a decoder"),
        (
            {"model_type": "bart", "architectures": ["BartForConditionalGeneration"]},
            "bart is an encoder with a decoder",
        ),
        ({"model_type": "somebody", "is_encoder_decoder": True}, "somebody is an encoder with a decoder"),
        ({"model_type": "clip"}, "clip is a model of images or sound"),
        ({"model_type": "whisper", "is_encoder_decoder": True}, "is an encoder with a decoder"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "is a classifier"),
        ({"model_type": "x\x1b[2J", "architectures": ["Y\x1bForMaskedLM"]}, "an encoder that fills gaps"),
    ],
)
def test_models_that_are_no_decoders_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match="not a decoder-only language model") as caught:
        check_decoder(config, "config.json")
    assert said in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "qwen2", "architectures": ["Qwen2Model"]},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]},
        {"model_type": "bert", "is_decoder": True, "architectures": ["BertLMHeadModel"]},
        {"model_type": 3, "architectures": [4, None], "is_encoder_decoder": "no"},
    ],
)
def test_all_others_are_taken(config: dict[str, Any]) -> None:
    check_decoder(config, "config.json")
