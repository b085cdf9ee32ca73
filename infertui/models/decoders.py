"""Which models generate text token by token, by what their config or file calls itself. All others are refused."""

from collections.abc import Mapping
from typing import Final

from infertui.errors import ModelError
from infertui.text import one_line

NO_DECODER: Final = "not a decoder-only language model"
_ENCODERS: Final = frozenset({
    "albert", "bert", "big_bird", "bros", "camembert", "canine", "convbert", "data2vec-text", "deberta", "deberta-v2",
    "distilbert", "dpr", "electra", "ernie", "ernie_m", "esm", "eurobert", "flaubert", "fnet", "funnel", "ibert",
    "jina_embeddings_v3", "layoutlm", "layoutlmv2", "layoutlmv3", "lilt", "longformer", "luke", "markuplm",
    "megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "new", "nezha", "nomic_bert", "nystromformer",
    "perceiver", "qdqbert", "realm", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer",
    "splinter", "squeezebert", "tapas", "xlm-roberta", "xlm-roberta-xl", "xmod", "yoso",
})  # fmt: skip
_SEQUENCE_TO_SEQUENCE: Final = frozenset({
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "fsmt", "led", "longt5", "m2m_100",
    "marian", "mbart", "mt5", "mvp", "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet", "switch_transformers",
    "t5", "t5gemma", "t5gemma2", "udop", "umt5", "xlm-prophetnet",
})  # fmt: skip
_NO_TEXT: Final = frozenset({
    "align", "altclip", "audio-spectrogram-transformer", "beit", "bit", "chinese_clip", "clap", "clip",
    "clip_text_model", "clip_vision_model", "clipseg", "convnext", "convnextv2", "cvt", "deit", "detr",
    "dinov2", "dinov3_vit", "dpt", "efficientnet", "encodec", "groupvit", "hubert", "imagegpt", "levit", "mask2former",
    "mimi", "mobilenet_v2", "mobilevit", "owlv2", "owlvit", "poolformer", "resnet", "sam", "sam2", "segformer",
    "siglip", "siglip2", "siglip_text_model", "siglip_vision_model", "speech_to_text", "speecht5", "swin", "swinv2",
    "timm_backbone", "timm_wrapper", "unispeech", "vit", "vit_mae", "vits", "vivit", "wav2vec2", "wav2vec2-bert",
    "wavlm", "whisper", "x-clip", "yolos",
})  # fmt: skip
_GGUF_ENCODERS: Final = frozenset({
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert",
    "nomic-bert-moe", "t5encoder",
})  # fmt: skip
_GGUF_OTHERS: Final[Mapping[str, str]] = {
    "t5": "an encoder with a decoder",
    "clip": "an image encoder (the projector of a multimodal model)",
    "wavtokenizer-dec": "a decoder of sound",
    "dream": "a diffusion model",
    "llada": "a diffusion model",
    "llada-moe": "a diffusion model",
    "rnd1": "a diffusion model",
}
_OTHER_HEADS: Final[Mapping[str, str]] = {
    "ForMaskedLM": "an encoder that fills gaps",
    "ForSequenceClassification": "a classifier",
    "ForTokenClassification": "a classifier of tokens",
    "ForMultipleChoice": "a classifier",
    "ForQuestionAnswering": "a finder of answers in a text",
    "ForImageClassification": "a classifier of images",
    "EncoderModel": "an encoder",
    "ForCTC": "a speech recognizer",
    "ForSpeechSeq2Seq": "a speech recognizer",
    "RewardModel": "a reward model",
}
_GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def check_decoder(config: Mapping[str, object], source: str) -> None:
    """Raise ModelError for a config.json that says it is no decoder-only language model."""
    kind = config.get("model_type")
    kind = kind if isinstance(kind, str) else ""
    listed = config.get("architectures")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    generates = any(name.endswith(_GENERATES) for name in names)
    if kind in _ENCODERS and not (config.get("is_decoder") is True and generates):
        raise not_a_decoder(kind, "an encoder", source)
    if kind in _SEQUENCE_TO_SEQUENCE or config.get("is_encoder_decoder") is True:
        raise not_a_decoder(kind or "the model", "an encoder with a decoder", source)
    if kind in _NO_TEXT:
        raise not_a_decoder(kind, "a model of images or sound", source)
    if not generates:
        for name in names:
            for ending, what in _OTHER_HEADS.items():
                if name.endswith(ending):
                    raise not_a_decoder(name, what, source)


def check_gguf_decoder(architecture: str, kind: str, source: str) -> None:
    """Raise ModelError for a GGUF file of that `general.architecture` and `general.type` that holds no decoder."""
    if kind not in ("", "model"):
        raise not_a_decoder("general.type", f"{one_line(kind, 40)}, not model", source)
    if architecture in _GGUF_ENCODERS:
        raise not_a_decoder(architecture, "an encoder", source)
    if architecture in _GGUF_OTHERS:
        raise not_a_decoder(architecture, _GGUF_OTHERS[architecture], source)


def not_a_decoder(name: str, what: str, source: str) -> ModelError:
    """The one error for a model that generates no text token by token."""
    return ModelError(
        f"{source}: {NO_DECODER}: {one_line(name, 60)} is {what}",
        remedy="infertui measures models that generate text token by token, such as Llama, Qwen or GPT-2.",
    )
