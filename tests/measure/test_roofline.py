"""The arithmetic of the limits, against cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.roofline import Arithmetic, DecodeReads, Experts, mean_attended

# GPT-2 124M: 12 layers, hidden 768, 12 heads of 64, vocabulary 50257, output layer tied to the embeddings.
#   a layer: attention 4 x 768^2 = 2,359,296; MLP 2 x 768 x 3072 = 4,718,592; together 7,077,888
#   all layers: 12 x 7,077,888 = 84,934,656; output layer: 50257 x 768 = 38,597,376
GPT2 = Arithmetic(layer_parameters=84_934_656, head_parameters=38_597_376, layers=12, attention_width=768)
# Llama 8B, grouped-query: 32 layers, hidden 4096, 32 heads and 8 KV heads of 128, MLP 14336 wide, vocabulary 128256.
#   a layer: attention 4096 x (4096 + 2 x 1024) + 4096 x 4096 = 41,943,040; MLP 3 x 4096 x 14336 = 176,160,768
#   all layers: 32 x 218,103,808 = 6,979,321,856; output layer: 128256 x 4096 = 525,336,576
LLAMA = Arithmetic(layer_parameters=6_979_321_856, head_parameters=525_336_576, layers=32, attention_width=4096)


def test_prefill_of_gpt2() -> None:
    # matrices: 2 x 84,934,656 x 100             = 16,986,931,200
    # attention: 4 x 12 x 768 x 100^2 / 2        =    184,320,000
    # the last position's logits: 2 x 38,597,376 =     77,194,752
    assert GPT2.prefill(100) == 16_986_931_200 + 184_320_000 + 77_194_752 == 17_248_445_952


def test_prefill_of_a_grouped_query_llama() -> None:
    # Every query head has its own scores: grouping saves bytes of the cache, not operations.
    # matrices: 2 x 6,979,321,856 x 1000          = 13,958,643,712,000
    # attention: 4 x 32 x 4096 x 1000^2 / 2       =    262,144,000,000
    # the last position's logits: 2 x 525,336,576 =      1,050,673,152
    assert LLAMA.prefill(1000) == 13_958_643_712_000 + 262_144_000_000 + 1_050_673_152


def test_a_step_of_gpt2() -> None:
    # matrices and logits: 2 x (84,934,656 + 38,597,376) = 247,064,064; attention at 200: 4 x 768 x 12 x 200 = 7,372,800
    assert GPT2.step(100, 200) == 247_064_064 + 7_372_800


def test_what_a_step_of_gpt2_reads() -> None:
    # float16: 124,439,808 x 2 = 248,879,616 bytes, of which the positions' table (1024 x 768 x 2 = 1,572,864) is
    # looked up in. KV: 2 x 12 layers x 12 heads x 64 x 2 bytes = 36,864 a token. Batch 8 at prompt 100 and output 200:
    # context 200, so 36,864 x 8 x 200 = 58,982,400. Together 306,289,152 bytes; in 0.5 ms at 1 TB/s that is 61.26 %.
    reads = DecodeReads(248_879_616 - 1_572_864, 36_864, 8, mean_attended(100, 200))
    assert reads.kv == 58_982_400
    assert reads.bytes == 306_289_152
    assert reads.share(0.5e-3, 1e12) == pytest.approx(0.612578304)
    assert reads.limit(1e12) == pytest.approx(8 * 1e12 / 306_289_152)  # 26,119 tok/s


def test_what_a_step_of_a_grouped_query_llama_reads() -> None:
    # bfloat16: 8,030,261,248 x 2 = 16,060,522,496 bytes less the embeddings, 128256 x 4096 x 2 = 1,050,673,152.
    # KV with 8 of 32 heads: 2 x 32 x 8 x 128 x 2 = 131,072 a token; batch 1 at 200: 26,214,400.
    reads = DecodeReads(16_060_522_496 - 1_050_673_152, 131_072, 1, mean_attended(100, 200))
    assert reads.bytes == 15_009_849_344 + 26_214_400
    # 15,036,063,744 bytes in 4.109 ms are 3.659 TB/s, 85.7 % of 4.27.
    assert reads.share(4.109e-3, 4.27e12) == pytest.approx(0.857, abs=5e-4)


def test_what_a_step_with_8_bit_weights_reads() -> None:
    # TinyLlama in int8: the 968,884,224 weights of 154 linear layers take a byte each, and a float32 scale with an int8
    # zero point for each output row: 22 layers x (2048 + 2 x 256 + 2048 + 2 x 5632 + 2048) = 394,240 rows x 5 =
    # 1,971,200 bytes. Embeddings and output layer stay in bfloat16: 2 x 32000 x 2048 x 2 = 262,144,000; norms:
    # 45 x 2048 x 2 = 184,320.
    weights = 968_884_224 + 1_971_200 + 262_144_000 + 184_320
    assert weights == 1_233_183_744  # what PyTorch held on an H200
    looked_up = 32000 * 2048 * 2
    # KV stays 16 bit: 2 x 22 x 4 x 64 x 2 = 22,528 a token.
    reads = DecodeReads(weights - looked_up, 22_528, 1, 200)
    assert reads.bytes == 1_102_111_744 + 4_505_600
    # 1,106,617,344 bytes in 0.697 ms are 1.588 TB/s: 37.2 % of 4.27.
    assert reads.share(0.697e-3, 4.27e12) == pytest.approx(0.3718, abs=1e-4)


def test_a_sliding_window_bounds_what_is_attended_to() -> None:
    # 2 of 4 layers see 50 tokens. Pairs of 100 tokens: full 100^2 / 2 = 5000 each; sliding 100 x 50 - 50^2 / 2 = 3750.
    half = Arithmetic(layer_parameters=0, head_parameters=0, layers=4, attention_width=1, sliding_layers=2, window=50)
    assert half.prefill(100) == 4 * (2 * 5000 + 2 * 3750)
    assert half.step(100, 200) == 4 * (2 * 200 + 2 * 50)


@pytest.mark.parametrize(
    ("prompt", "output", "window", "expected"),
    [
        # 1096 tokens on average at (3000 + 4096) / 2, 1904 at 4096: (1096 x 3548 + 1904 x 4096) / 3000.
        (3000, 3000, 4096, (1096 * 3548 + 1904 * 4096) / 3000),
        (1024, 8192, 4096, (3072 * 2560 + 5120 * 4096) / 8192),
        (5000, 100, 4096, 4096),
        (100, 200, 4096, 200),
        (100, 200, 0, 200),
        (4096, 0, 4096, 4096),
        (10, 0, 0, 10),
    ],
)
def test_the_mean_of_what_a_window_leaves(prompt: int, output: int, window: int, expected: float) -> None:
    assert mean_attended(prompt, output, window) == pytest.approx(expected)


@given(st.integers(0, 3000), st.integers(1, 3000), st.integers(1, 5000))
def test_the_mean_is_that_of_the_single_steps(prompt: int, output: int, window: int) -> None:
    steps = [min(prompt + step + 0.5, window) for step in range(output)]
    assert mean_attended(prompt, output, window) == pytest.approx(sum(steps) / output, abs=0.2)


def test_states_are_read_whatever_the_context() -> None:
    # Per sequence 100 bytes a token at 200 tokens, and 5,000 bytes of states.
    assert DecodeReads(0, 100, 3, 200, state=5_000).kv == 3 * (20_000 + 5_000)


def test_experts_that_a_batch_touches() -> None:
    # 8 experts, 2 a token. One sequence touches 2; of many sequences each expert is missed by (3/4)^B.
    experts = Experts(8, 2, parameters=46_000, active_parameters=13_000)
    assert experts.touched(1) == pytest.approx(2)
    assert experts.touched(4) == pytest.approx(8 * (1 - 0.75**4))  # 5.47
    # An expert has (46,000 - 13,000) / 6 = 5500: of 46,000 one sequence reads 13,000, everything at last.
    assert experts.share_read(1) == pytest.approx(13 / 46)
    assert experts.share_read(4) == pytest.approx((46_000 - (8 - 5.46875) * 5500) / 46_000)
    assert experts.share_read(1000) == pytest.approx(1)
    assert Experts(4, 4, 10, 10).share_read(1) == 1


@given(
    weights=st.integers(1, 10**12), kv=st.integers(0, 10**7), batch=st.integers(1, 512), context=st.floats(0, 1e6),
    bandwidth=st.floats(1e9, 1e13),
)  # fmt: skip
def test_at_the_limit_the_share_is_one(weights: int, kv: int, batch: int, context: float, bandwidth: float) -> None:
    reads = DecodeReads(weights, kv, batch, context)
    step = batch / reads.limit(bandwidth)
    assert reads.share(step, bandwidth) == pytest.approx(1)
    assert reads.share(2 * step, bandwidth) == pytest.approx(0.5)


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_prefill_in_two_parts_is_no_less_than_its_steps(first: int, second: int) -> None:
    """A prompt costs what its tokens would cost one after another, but for the logits of all but the last."""
    whole = GPT2.prefill(first + second)
    assert whole > GPT2.prefill(first)
    per_token = 2 * GPT2.layer_parameters
    assert whole > per_token * (first + second)


@given(count=st.integers(1, 256), batch=st.integers(1, 512), data=st.data())
def test_a_batch_touches_no_more_experts_than_there_are(count: int, batch: int, data: st.DataObject) -> None:
    active = data.draw(st.integers(1, count))
    experts = Experts(count, active, 1000 + count * 10, 1000 + active * 10)
    assert active - 1e-9 <= experts.touched(batch) <= min(count, batch * active) + 1e-9
    assert 0 < experts.share_read(batch) <= 1 + 1e-9
