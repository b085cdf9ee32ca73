"""What was measured, in one type: of a run of ours all of its config, of an imported one what its file tells."""

from hypothesis import given
from hypothesis import strategies as st
from support.results import as_imported, make_results

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.fields import FIELDS
from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.results.setup import JUDGED, Setup
from infertui.targets.base import TargetName

RESULT = next(make_results(1))
CONFIG = RESULT.own_config
NAMED = {
    "model": "model.id", "revision": "model.revision", "batch_size": "workload.batch_size",
    "input_len": "workload.input_len", "output_len": "workload.output_len", "temperature": "workload.temperature",
    "mode": "engine.mode", "quantization": "engine.quantization", "speculation": "engine.speculation",
    "tensor_parallel": "engine.tensor_parallel", "device": "device.name",
}  # fmt: skip
MEASURED = sorted(path for path, field in FIELDS.items() if path.split(".")[0] not in JUDGED and not field.is_table)


def test_all_of_a_config_is_known() -> None:
    setup, flat = RESULT.setup, flat_values(CONFIG)
    assert setup.all() == flat
    assert {path: setup.get(path) for path in flat} == flat
    assert {name: getattr(setup, name) for name in NAMED} == {name: flat[path] for name, path in NAMED.items()}
    assert setup.target == TargetName("engine", CONFIG.engine.name)
    assert (setup.labels, setup.prompts) == (CONFIG.labels, CONFIG.workload.prompts_file or CONFIG.workload.prompts)
    assert RESULT.untold == ()


@given(st.sets(st.sampled_from(MEASURED)))
def test_what_a_file_does_not_tell_is_none_by_every_name(untold: set[str]) -> None:
    result, flat = as_imported(RESULT, *untold), flat_values(CONFIG)
    setup = result.setup
    assert {path: setup.get(path) for path in MEASURED} == {
        path: None if path in untold else flat[path] for path in MEASURED
    }
    for name, path in NAMED.items():
        assert getattr(setup, name) == (None if path in untold else flat[path]), name
    assert setup.target.name == (None if "engine.name" in untold else CONFIG.engine.name)
    assert set(result.untold) == untold
    assert not {path.split(".")[0] for path in setup.all()} & JUDGED, "what judges our runs judges no others"


def test_labels_of_an_imported_run_are_those_of_whoever_imported_it() -> None:
    setup = Setup(None, {"labels.site": "lab", "labels.a.b": "c", "model.id": "gpt2"})
    assert setup.labels == {"site": "lab", "a.b": "c"}
    assert (setup.get("labels.site"), setup.get("labels.other")) == ("lab", None)


def test_of_an_endpoint_the_model_is_the_server_s_and_there_is_no_batch() -> None:
    target = TargetConfig(kind="endpoint", url="http://127.0.0.1:1", model="served")
    setup = Setup(Config(target=target, load=LoadConfig(concurrency=8, request_rate=2.5)), {})
    assert (setup.target.kind, setup.target.name) == ("endpoint", "http://127.0.0.1:1")
    assert (setup.model, setup.batch_size, setup.concurrency, setup.request_rate) == ("served", None, 8, 2.5)
    unknown = Setup(Config(target=TargetConfig(kind="endpoint")), {})
    assert unknown.model is None
    assert Setup(Config(), {}).batch_size == 1
