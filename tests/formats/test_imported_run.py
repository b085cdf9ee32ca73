"""Results made of findings: what is not told has no meaning anywhere, and says so."""

from datetime import UTC, datetime

import msgspec
import pytest
from support.foreign_files import LLAMA_TEST, dumped, llama_csv, one_of_each, six_field, vllm_serve

from infertui.analysis.effective import identity
from infertui.analysis.summary_text import figures, headline
from infertui.config.fields import FIELDS
from infertui.formats.detect import read
from infertui.formats.imported_run import Given, moment, result_of
from infertui.formats.reader import SourceFile
from infertui.metrics.reads import caveats, told
from infertui.results.result import Result
from infertui.results.row import ResultLine, row_of
from infertui.results.table import ResultRow

NOW = datetime(2026, 3, 1, 8, 15, tzinfo=UTC)


def result(content: bytes, given: Given = Given(), name: str = "given.json") -> Result:  # noqa: B008
    source = SourceFile.of(content, name)
    return result_of(read(source, given).findings[0], given, file=source.name, sha256="ab" * 32, now=NOW)


def row(found: Result) -> ResultRow:
    kept = msgspec.structs.replace(found, id="20260301-081500-given-0001")
    return row_of(msgspec.json.decode(msgspec.json.encode(kept), type=ResultLine))


def test_every_form_makes_results_that_can_be_kept_and_shown() -> None:
    for content in one_of_each().values():
        found = result(content)
        assert msgspec.json.decode(msgspec.json.encode(found), type=Result) == found
        assert (found.imported, found.imported_sha256) == ("given.json", "ab" * 32)
        assert found.fingerprint.host.hostname == "", "it was not measured here"
        assert found.fingerprint.config_hash.startswith("import-")
        assert "imported" in row(found).flags
        assert "external" not in row(found).flags
        assert caveats(found) == [f"imported from given.json: {found.source}"]
        assert any("not by infertui" in note for note in found.verdict.notes)
        for _, text in (*figures(found), *identity(found, full=True), ("", headline(found))):
            assert "None" not in text


def test_what_is_not_told_is_not_available_in_the_table() -> None:
    line = row(result(six_field([0.5, 0.6])))
    assert (line.model, line.engine, line.dtype, line.device, line.input_len) == ("", "", "", "", "")
    assert (line.batch_size, line.iterations, line.throughput, line.vram) == (None, None, None, None)
    assert line.output_len == 64
    assert line.latency == 0.55
    serve = row(result(dumped(vllm_serve())))
    assert (serve.model, serve.engine, serve.throughput) == ("meta-llama/Llama-3.1-8B", "vllm", 40.0)
    assert (serve.batch_size, serve.output_len, serve.iterations) == (None, None, None)
    csv = result(llama_csv(LLAMA_TEST))
    assert (row(csv).iterations, row(csv).batch_size, row(csv).seconds) == (None, 1, None)
    assert dict(figures(csv))["requests"] == "n/a, 0 failed"


def test_every_key_is_told_or_said_not_to_be() -> None:
    found = result(dumped(vllm_serve(detailed=True)))
    known = {path for path in FIELDS if found.setup.get(path) is not None}
    assert known == set(found.setup.all()) == {
        "model.id", "engine.name", "workload.num_prompts", "workload.input_len", "workload.output_len",
    }  # fmt: skip
    judged = {path for path in FIELDS if path.split(".")[0] in ("validity", "quality", "labels", "sweep")}
    assert set(found.untold) == (set(FIELDS) - known - judged) | {"summary.iterations"}
    assert found.config is None
    with pytest.raises(ValueError, match="imported from given"):
        _ = found.own_config
    assert told(found, "workload.output_len") == 5
    assert told(found, "workload.batch_size") is None
    assert told(found, "summary.prompt_tokens") == 400
    assert told(found, "summary.iterations") is None


def test_what_whoever_imports_knows_is_marked_as_theirs() -> None:
    given = Given("gpt2", "NVIDIA\x1b[2J L4", {"site": "lab"}, batch_size=2)
    found = result(six_field([0.5, 0.6]), given)
    assert (found.setup.model, found.setup.labels) == ("gpt2", {"site": "lab"})
    assert found.setup.batch_size == 2
    assert row(found).device == "NVIDIA L4"
    (note,) = [note for note in found.verdict.notes if note.startswith("told by whoever imported")]
    assert "model.id = gpt2" in note
    served = result(dumped(vllm_serve()), Given("another", batch_size=2))
    assert served.setup.model == "meta-llama/Llama-3.1-8B", "the file knows better"


def test_values_that_no_config_can_hold_count_as_not_told() -> None:
    found = result(dumped(vllm_serve(detailed=True, output_lens=[2**21] * 4, total_output_tokens=2**23)))
    assert found.setup.output_len is None
    assert found.verdict.invalid
    blank = result(dumped(vllm_serve(model_id="  ")))
    assert blank.setup.model is None


def test_two_files_of_different_things_have_different_hashes() -> None:
    hashes = {
        result(dumped(content)).fingerprint.config_hash
        for content in (vllm_serve(), vllm_serve(max_concurrency=8), vllm_serve(model_id="gpt2"))
    }
    assert len(hashes) == 3


def test_when_it_was_measured() -> None:
    assert result(dumped([LLAMA_TEST])).started == moment("2026-11-20T12:00:00Z")
    assert result(dumped(vllm_serve())).started.startswith("2026-03-01T08:15:00")
    unknown = result(six_field([0.5]))
    assert unknown.started == "2026-03-01T08:15:00.000+00:00"
    assert any("the time is that of the import" in note for note in unknown.verdict.notes)
    assert [moment(text) for text in ("", "now", "99999999-000000", "0001-01-01")][:3] == ["", "", ""]
