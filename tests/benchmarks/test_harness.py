"""What the harness makes of its samples."""

from typing import Any

from benchmarks.fuse_operations import ROWS, readable
from benchmarks.harness import Comparison, Row, spread
from benchmarks.report import rate


def sample(per_second: float) -> dict[str, Any]:
    each_ns = 1e9 / per_second
    return {
        "per_second": per_second,
        "p50_ns": each_ns,
        "client_cpu_ns": each_ns / 4,
        "daemon_cpu_ns": each_ns / 2,
    }


def comparison(row: Row, **rates: list[float]) -> Comparison:
    samples = {name: [sample(value) for value in values] for name, values in rates.items()}
    return Comparison(row, 1, samples, {})


def test_a_ratio_compares_figures_of_the_same_round() -> None:
    slowing_machine = comparison(Row("x", "x", 0.6), c=[300, 200, 100], vexfs=[150, 100, 50])
    assert slowing_machine.ratios("vexfs") == [0.5, 0.5, 0.5]


def test_a_rate_must_reach_its_target_and_a_latency_must_stay_below() -> None:
    assert Row("x", "x", 0.6).met(0.6)
    assert not Row("x", "x", 0.6).met(0.59)
    assert Row("x", "x", 2.5, "p50_ns").met(2.4)
    assert not Row("x", "x", 2.5, "p50_ns").met(2.6)
    assert Row("x", "x").met(0.1) is None


def test_cpu_time_is_that_of_client_and_daemon_together() -> None:
    assert comparison(Row("x", "x"), vexfs=[1_000, 1_000]).cpu_ns("vexfs") == 750_000


def test_the_table_counts_targets_met_and_missed() -> None:
    good = comparison(Row("good", "good", 0.6), c=[100], vexfs=[90])
    bad = comparison(Row("bad", "bad", 0.6), c=[100], vexfs=[10])
    text = readable([good.as_json(), bad.as_json()])
    assert "1 targets met, 1 missed" in text


def test_a_system_that_failed_is_shown_with_its_error() -> None:
    broken = Comparison(Row("x", "x", 0.6), 1, {"c": [sample(1)], "vexfs": []}, {"vexfs": "EIO"})
    assert "vexfs: EIO" in readable([broken.as_json()])


def test_every_row_of_the_table_has_a_title_and_a_measurement_of_its_own() -> None:
    assert len({row.title for row in ROWS}) == len(ROWS)
    assert len({(row.operation, row.count_fixed) for row in ROWS}) == len(ROWS)


def test_spread_is_relative_to_the_median() -> None:
    assert spread([90, 100, 110]) == 0.2
    assert spread([]) is None


def test_rates_show_three_digits_that_count() -> None:
    assert [rate(value) for value in (None, 950.4, 31_240, 1_050_000)] == [
        "-",
        "950",
        "31.2k",
        "1.05M",
    ]
