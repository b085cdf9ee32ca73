from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.parse import config_hash, decode
from infertui.config.schema import Config, EngineConfig


def test_the_hash_is_twelve_hex_digits_and_follows_what_is_measured() -> None:
    digest = config_hash(Config())
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert config_hash(decode({"workload": {"batch_size": 2}})) != digest


def test_labels_and_the_sweep_do_not_count() -> None:
    named = decode({"labels": {"owner": "me"}, "sweep": {"grid": {"workload.batch_size": [1, 2]}}})
    assert config_hash(named) == config_hash(Config())


def test_what_figures_are_judged_by_does_not_count() -> None:
    judged = decode({"validity": {"max_drift": 0.5}, "quality": {"perplexity": "off"}})
    assert config_hash(judged) == config_hash(Config())


def test_spelling_does_not_count() -> None:
    assert config_hash(decode({"engine": {"dtype": "FP16"}})) == config_hash(decode({"engine": {"dtype": "float16"}}))
    assert config_hash(decode({"workload": {"temperature": -0.0}})) == config_hash(Config())
    in_code = Config(engine=EngineConfig(simulator=SimulatorOptions(ttft_ms=20)))
    assert config_hash(in_code) == config_hash(Config())


def test_of_the_engines_tables_only_the_chosen_one_counts() -> None:
    other = decode({"engine": {"vllm": {"kv_cache_mib": 64}}})
    assert config_hash(other) == config_hash(Config())
    named = decode({"engine": {"name": "vllm"}})
    assert config_hash(named) != config_hash(Config())
    assert config_hash(decode({"engine": {"name": "vllm", "vllm": {"kv_cache_mib": 64}}})) != config_hash(named)


def test_a_key_that_came_later_counts_only_where_it_is_set() -> None:
    assert config_hash(decode({"measurement": {"min_seconds": 0}})) == config_hash(Config())
    assert config_hash(decode({"measurement": {"min_seconds": 5}})) != config_hash(Config())
