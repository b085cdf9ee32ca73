import pytest
from support.filters import prefixes
from support.results import make_results

from infertui.config.fields import FIELDS
from infertui.errors import UsageError
from infertui.metrics.filter import matches, parse_arguments

VALUES = ("4", "-1.5e3", "yes", "auto", "x y", "a=b", "1e999", "[1, 2]", "\udc80")
SHORT_KEYS = ("id", "bench", "name", "state", "valid", "engine", "device", "model")


@pytest.mark.parametrize("value", VALUES)
def test_whatever_part_of_a_filter_was_typed_is_understood_or_refused(value: str) -> None:
    results = make_results(3)
    refused = set()
    for text in prefixes(f"{key}={value}" for key in (*SHORT_KEYS, *FIELDS, "labels.owner", "sweep.grid.x")):
        try:
            wanted = parse_arguments([text])
            assert {matches(result, wanted) for result in results} <= {True, False}
        except UsageError as error:
            refused.add(error.message)
    assert all(refused)
    assert refused
