"""Which run others are held against: the nearest to the model, by what loses precision, on the same prompts."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_folder

from infertui.measure.quality import Quality
from infertui.results.result import Result
from infertui.results.runs import OUTPUTS, SUPERSEDED, Output, Store
from infertui.runner.execution.quality import judge, partings, say_again
from infertui.runner.execution.references import computes_exactly, find_farther, find_reference
from infertui.targets.engine.base import EffectiveSettings

Outputs = Mapping[str, tuple[int, ...]]
OWN = Quality(perplexity=8.0, text="alice.txt 12", text_tokens=100, window=1024)
SAME: Outputs = {"aa": (1, 2, 3, 4), "bb": (5, 6, 7, 8)}
F32 = {"llama_cpp__type_k": "f32", "llama_cpp__type_v": "f32"}
Q4 = {"llama_cpp__type_k": "q4_0", "llama_cpp__type_v": "f16"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


class Folder:
    """A reports folder; `add` is the next run of one model in it, with its outputs and what is in force."""

    def __init__(self, path: Path) -> None:
        self.store, self._count = Store(path), 0
        self._base = next(result for result in make_results(50) if result.state == "finished" and result.loaded)

    def made(self, outputs: Outputs = SAME, *, dtype: str = "float32", file: str = "", **settings: str) -> Result:
        base = self._base
        assert base.loaded
        self._count += 1
        workload = replace(base.own_config.workload, prompts_file=file, input_len=0, temperature=0.0, output_len=4)
        settings = {key.replace("__", "."): word for key, word in settings.items()}
        result = replace(
            base,
            id=f"2026010{self._count}-000000-run-000{self._count}",
            started=f"2026-01-0{self._count}T00:00:00+00:00",
            config=replace(base.own_config, workload=workload),
            loaded=replace(base.loaded, dtype=dtype, random_weights=False),
            effective=EffectiveSettings(settings={"mode": "eager", "quantization": "none", **settings}),
            quality=OWN,
        )
        folder = write_folder(self.store.root, result)
        lines = [Output(prompt, 3, ids, 0) for prompt, ids in outputs.items()]
        (folder / OUTPUTS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return result

    def judged(self, result: Result) -> Result:
        return self.keep(replace(result, quality=judge(result, OWN, self.store, {})))

    def keep(self, result: Result) -> Result:
        (self.store.folder_of(result.id) / "result.json").write_bytes(msgspec.json.encode(result))
        self.store.append(result)
        return result

    def add(self, outputs: Outputs = SAME, **how: str) -> Result:
        return self.judged(self.made(outputs, **how))

    def quality(self, run: str) -> Quality:
        found = self.store.result_of(run)
        assert found
        assert found.quality
        return found.quality


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_whatever_loses_precision_gives_way_to_what_loses_less(folder: Folder) -> None:
    """From the worst to the best: each becomes the reference, and none is held against a worse one."""
    ladder: list[dict[str, str]] = [
        {"quantization": "q2_k"},
        {"quantization": "q3_k_m"},
        {"llama_cpp__type_k": "f16", "llama_cpp__type_v": "q4_0"},
        {"quantization": "int8"},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"llama_cpp__type_k": "f16", "llama_cpp__type_v": "f16"},
        {"mode": "compile"},
        {},
    ]
    runs = [folder.add(SAME, **settings) for settings in ladder]
    for place, run in enumerate(runs):
        assert run.quality
        assert run.quality.reference == run.id, ladder[place]
        assert {other.id for other in find_farther(run, folder.store)} == {other.id for other in runs[:place]}
    again = folder.add(quantization="q4_k_m")
    assert again.quality
    assert again.quality.reference == runs[-1].id


@pytest.mark.parametrize(
    "settings",
    [{"openvino__kv_cache": "u8"}, {"vllm__kv_cache_dtype": "fp8"}, {"tensorrt_llm__kv_cache_dtype": "fp8"},
     {"llama_cpp__type_k": "q8_0", "llama_cpp__type_v": "f16"}],
)  # fmt: skip
def test_a_narrow_cache_of_any_engine_is_no_reference_for_the_model_as_it_is(
    folder: Folder, settings: dict[str, str]
) -> None:
    folder.add(SAME, **settings)
    plain = folder.add()
    assert plain.quality
    assert plain.quality.reference == plain.id
    assert not computes_exactly(folder.made(SAME, **settings))


def test_earlier_verdicts_are_said_again_against_a_better_reference(folder: Folder) -> None:
    """A run with a 4-bit cache came first; a float32 one parts from it. The first is what diverges, and says so."""
    narrow = folder.add({"aa": (1, 9, 9, 9), "bb": (5, 9, 9, 9)}, **Q4)
    held = replace(OWN, reference=narrow.id, perplexity=11.0)
    worse = folder.keep(replace(folder.made(quantization="q4_0"), quality=held))
    plain = folder.add()
    assert plain.quality
    assert (plain.quality.reference, plain.quality.beyond) == (plain.id, ())
    assert set(say_again(plain, folder.store, {})) == {narrow.id, worse.id}
    again = folder.quality(narrow.id)
    assert again.reference == plain.id
    assert again.agreement is not None
    assert again.agreement.share == 0.25
    assert again.reference_perplexity == 8.0
    assert folder.quality(worse.id).beyond == ("perplexity 11, 37.5% above the reference's 8",)
    assert (folder.store.folder_of(narrow.id) / SUPERSEDED).is_file()
    assert say_again(plain, folder.store, {}) == ()  # said once


def test_prompts_are_matched_by_what_they_are_and_not_by_the_path_of_their_file(folder: Folder) -> None:
    """The file was edited: the first runs have other prompts, and the later ones are held against each other."""
    before = [folder.add({"old": (1, 2, 3, 4)}, file="p.txt") for _ in range(2)]
    first = folder.add(file="p.txt")
    second = folder.add({"aa": (1, 2, 3, 4)}, file="p.txt")
    moved = folder.add(file="copy-of-p.txt")
    assert [run.quality.reference for run in (first, second, moved) if run.quality] == [first.id] * 3
    assert before[1].quality
    assert before[1].quality.reference == before[0].id
    assert second.quality
    assert second.quality.agreement is not None
    assert second.quality.agreement.exact


def test_one_tie_of_the_logits_marks_nothing_and_a_wrong_token_does(folder: Folder) -> None:
    first = folder.add({"aa": (1, 2, 3, 4)}, **F32)
    parted = {"aa": (1, 9, 9, 9)}
    tied = folder.made(parted)
    assert partings(tied, folder.store) == {first.id: {"aa": (1, 2)}}
    for gap, marked in ((0.00075, False), (0.149, False), (0.151, True), (4.0, True)):
        found = judge(tied, OWN, folder.store, {first.id: {"aa": gap}})
        assert bool(found.beyond) == marked, gap
        assert found.share_without_ties == (0.25 if marked else 1.0)
        assert found.agreement is not None
        assert found.agreement.share == 0.25
    assert judge(tied, OWN, folder.store, {}).beyond == ()  # one output, and the gap is not known
    two = folder.made({"aa": (1, 9, 9, 9), "cc": (1, 1, 1, 1)})
    assert judge(two, OWN, folder.store, {}).beyond == ()


def test_sixteen_bits_are_judged_by_perplexity_alone(folder: Folder) -> None:
    folder.add()
    for settings in ({"dtype": "bfloat16"}, {"quantization": "int8"}, {"openvino__kv_cache": "u8"}):
        parted = folder.made({"aa": (1, 9, 9, 9), "bb": (5, 9, 9, 9)}, **settings)
        assert partings(parted, folder.store) == {}
        assert judge(parted, OWN, folder.store, {}).beyond == ()
        worse = judge(parted, replace(OWN, perplexity=9.0), folder.store, {})
        assert worse.beyond == ("perplexity 9, 12.5% above the reference's 8",)


def test_a_perplexity_in_other_windows_is_not_compared_and_says_so(folder: Folder) -> None:
    folder.add()
    found = judge(folder.made(), replace(OWN, window=248, perplexity=12.0), folder.store, {})
    assert found.reference_perplexity is None
    assert found.beyond == ()
    assert found.reasons["reference_perplexity"] == (
        "the reference was scored in windows of 1024 tokens, this in windows of 248"
    )


def test_what_only_sampled_or_another_length_is_no_reference(folder: Folder) -> None:
    longer = folder.made()
    workload = replace(longer.own_config.workload, output_len=9)
    folder.keep(replace(longer, config=replace(longer.own_config, workload=workload)))
    warm = folder.made()
    workload = replace(warm.own_config.workload, temperature=0.7)
    folder.keep(replace(warm, config=replace(warm.own_config, workload=workload)))
    assert find_reference(folder.made(), folder.store) is None
