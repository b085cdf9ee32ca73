"""Keys of a config in a filter: the index answers as the results themselves do, on the screen and in commands alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import as_imported, make_results

from infertui.config.parse import build, flat_values
from infertui.errors import UsageError
from infertui.metrics.filter import matches, parse
from infertui.results.index import ResultIndex, ResultQuery
from infertui.results.result import Result
from infertui.results.upgrade import decode_result

KEPT = Path(__file__).parent / "lines"


def _varied() -> Iterator[Result]:
    """Own and imported results, some with labels and options of engines, some of which a file told half."""
    for number, result in enumerate(make_results(60, seed=3)):
        if number % 5 == 0:
            yield as_imported(result, "workload.batch_size")
            continue
        own: dict[str, Any] = {"labels.owner": "Ada L", "workload.temperature": 0.7} if number % 3 == 0 else {}
        own |= {"engine.llama_cpp.n_gpu_layers": number, "measurement.warmup": 3} if number % 4 == 0 else {}
        changed = build(flat_values(result.own_config) | own) if own else result.config
        yield msgspec.structs.replace(result, config=changed)


RESULTS = [*_varied()]
KEYS = sorted({key for result in RESULTS for key in result.setup.all()})
VALUES = sorted({str(value) for result in RESULTS for value in result.setup.all().values()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("keys") / "reports"
    out.mkdir()
    lines = [msgspec.json.encode(result) + b"\n" for result in RESULTS]
    (out / "results.jsonl").write_bytes(b"".join(lines))
    return out


@pytest.fixture(scope="module")
def index(folder: Path) -> ResultIndex:
    return ResultIndex(folder, cache=folder.parent / "cache")


def found(index: ResultIndex, folder: Path, text: str) -> set[str]:
    return {row.id for row in index.page(ResultQuery(str(folder), filter=text, limit=1000)).rows}


@pytest.mark.parametrize("key", KEYS)
def test_the_index_finds_by_each_key_what_the_results_say(index: ResultIndex, folder: Path, key: str) -> None:
    values = {result.setup.get(key) for result in RESULTS if not isinstance(result.setup.get(key), tuple | None)}
    for value in sorted(map(str, values)):
        for operator in (":", "=", ">", ">=", "<", "<="):
            for sign in ("", "!"):
                text = f'{sign}{key}{operator}"{value}"'
                try:
                    terms = parse(text)
                except UsageError:
                    continue
                assert found(index, folder, text) == {one.id for one in RESULTS if matches(one, terms)}, text


@given(key=st.sampled_from(KEYS), value=st.sampled_from(VALUES) | st.text(max_size=8), operator=st.sampled_from(":=<>"))
def test_it_refuses_what_they_refuse_and_finds_what_they_find(
    index: ResultIndex, folder: Path, key: str, value: str, operator: str
) -> None:
    text = f'{key}{operator}"{value}"'
    try:
        terms = parse(text)
    except UsageError:
        with pytest.raises(UsageError):
            found(index, folder, text)
        return
    assert found(index, folder, text) == {one.id for one in RESULTS if matches(one, terms)}


@pytest.mark.parametrize(
    "text", ["workload.batch_size>=1", "!workload.batch_size=1", "model.id:tiny", "engine.mode=eager", "labels.x=1"]
)
def test_kept_lines_of_older_schemas_are_found_like_todays(tmp_path: Path, text: str) -> None:
    lines = [line for file in sorted(KEPT.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
    (tmp_path / "results.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    results = [decode_result(line) for line in lines]
    got = ResultIndex(tmp_path, cache=tmp_path / "cache").page(ResultQuery(str(tmp_path), filter=text, limit=1000))
    assert {row.id for row in got.rows} == {one.id for one in results if matches(one, parse(text))}
