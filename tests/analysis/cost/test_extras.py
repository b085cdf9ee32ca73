from infertui.analysis.cost.extras import gain_of, gain_rows


def test_forty_percent_told_apart() -> None:
    rows = gain_rows(gain_of(0.40, 10_000, "EUR"))
    assert rows == [
        (
            "40% more throughput",
            "the same work for 28.6% less (1 - 1/1.4): saves 2,857 EUR a month, 34,286 EUR a year",
        ),
        ("or on the same budget", "40% more work, which would have cost 4,000 EUR a month, 48,000 EUR a year before"),
        ("40% lower cost", "saves 4,000 EUR a month, 48,000 EUR a year; it takes 66.7% more throughput"),
    ]
    assert [name for name, _ in gain_rows(gain_of(1.5, 10_000, "EUR"))] == [
        "150% more throughput", "or on the same budget",
    ]  # fmt: skip
