"""Durations and quantities mean what Kubernetes users expect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.values import bytes_of, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1m500ms", 60.5),
        ("0s", 0.0),
        ("1h1h", 7200.0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1.5h", "-1s", " 1s", "1s\n", "100000s", "1h1m1s1ms1ms"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 30s, 5m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("1000000", 1_000_000), ("2k", 2000), ("3M", 3_000_000), ("512Mi", 512 * 2**20), ("20Gi", 20 * 2**30)],
)
def test_a_size_is_read_in_bytes(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5Gi", "1KB", "Mi", "1Pi", "1 Mi", "1Mi\n"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 512Mi, 20Gi or 1000000"):
        bytes_of(text)


@given(st.lists(st.tuples(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert seconds(text) == pytest.approx(sum(seconds(f"{number}{unit}") for number, unit in parts))


@given(st.integers(1, 999_999), st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_a_binary_suffix_multiplies_by_a_power_of_two(number: int, suffix: str) -> None:
    assert bytes_of(f"{number}{suffix}") == number * 1024 ** (["Ki", "Mi", "Gi", "Ti"].index(suffix) + 1)
