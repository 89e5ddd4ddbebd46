"""The metrics' text: valid, complete, and right in its numbers."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.support.status import STATUS
from vexfs_fuse.observe.metrics import BITS_SHOWN, exposition, values
from vexfs_fuse.observe.recorder import EVENTS, TOTAL, Recorder, blank_row, count, quantile_ns
from vexfs_fuse.observe.table import METRICS, Metric


def recorded(times_ns: list[int]) -> Recorder:
    recorder = Recorder()
    row = recorder.row("getattr")
    for elapsed_ns in times_ns:
        row[elapsed_ns.bit_length()] += 1
        row[TOTAL] += elapsed_ns
    return recorder


def samples(recorder: Recorder) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition(recorder, STATUS).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_independent_parser_reads_every_metric() -> None:
    text = exposition(recorded([1_000]), STATUS).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        metric.name: metric.kind for metric in METRICS
    }
    assert all(families[metric.name].documentation == metric.help for metric in METRICS)


def test_requests_are_split_by_errno_and_add_up() -> None:
    recorder = recorded([1_000] * 5)
    recorder.fail("getattr", "ENOENT")
    recorder.fail("getattr", "ENOENT")
    found = samples(recorder)
    name = "vexfs_requests_total"
    assert found[name, (("errno", "OK"), ("operation", "getattr"))] == 3
    assert found[name, (("errno", "ENOENT"), ("operation", "getattr"))] == 2


def test_searches_are_split_by_plan_and_space() -> None:
    recorder = Recorder()
    recorder.search("exact", "default", 1_000_000)
    recorder.search("exact", "default", 3_000_000)
    recorder.search("names", "", 1_000)
    found = samples(recorder)
    vectors = (("plan", "exact"), ("space", "default"))
    assert found["vexfs_searches_total", vectors] == 2
    assert found["vexfs_search_seconds_sum", vectors] == 0.004
    assert found["vexfs_searches_total", (("plan", "names"), ("space", ""))] == 1
    assert found["vexfs_search_recall", (("space", "default"),)] == 0.9812


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_a_bucket_counts_what_is_not_above_its_bound(times_ns: list[int]) -> None:
    found = samples(recorded(times_ns))
    for bits in BITS_SHOWN:
        bound = repr((1 << bits) / 1e9)
        key = ("vexfs_request_seconds_bucket", (("le", bound), ("operation", "getattr")))
        assert found[key] == sum(elapsed < 1 << bits for elapsed in times_ns)
    of_operation = (("operation", "getattr"),)
    assert found["vexfs_request_seconds_count", of_operation] == len(times_ns)
    assert math.isclose(found["vexfs_request_seconds_sum", of_operation], sum(times_ns) / 1e9)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=50))
def test_a_quantile_is_right_to_a_factor_of_two(times_ns: list[int]) -> None:
    row = recorded(times_ns).row("getattr")
    median_ns = sorted(times_ns)[(len(times_ns) - 1) // 2]
    assert median_ns <= quantile_ns(row, 0.5) < 2 * median_ns


def test_a_row_that_counted_nothing_has_quantile_zero() -> None:
    assert quantile_ns(blank_row(), 0.99) == 0


def test_stalls_are_counted_with_their_length() -> None:
    recorder = Recorder()
    recorder.stall(5_000_000)
    assert count(recorder.stalls) == 1
    assert samples(recorder)["vexfs_loop_stall_seconds_sum", ()] == 0.005


def test_every_event_is_shown_from_the_start() -> None:
    found = samples(Recorder())
    assert {labels[0][1] for name, labels in found if name == "vexfs_events_total"} == set(EVENTS)


def test_a_path_with_stars_gives_one_value_for_each_key() -> None:
    metric = Metric("pages", "gauge", ("size",), "Pages.", "pool.*.used")
    status = {"pool": {4096: {"used": 3}, 65536: {"used": 7}}}
    assert dict(values(metric, Recorder(), status)) == {("4096",): 3, ("65536",): 7}


def test_a_list_gives_one_value_for_each_member_labelled_by_its_field() -> None:
    metric = Metric("pages", "gauge", ("size",), "Pages.", "pool.*size.used")
    status = {"pool": [{"size": 4096, "used": 3}, {"size": 65536, "used": 7}]}
    assert dict(values(metric, Recorder(), status)) == {("4096",): 3, ("65536",): 7}


def test_label_values_are_escaped() -> None:
    recorder = Recorder()
    recorder.row('a"b\\c\nd')
    assert samples(recorder)["vexfs_request_seconds_count", (("operation", 'a"b\\c\nd'),)] == 0
