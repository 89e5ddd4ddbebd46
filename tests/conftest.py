"""Settings that every test shares: the Hypothesis profiles, what runs only on demand."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "night", max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `night` unless a marker expression asks for them."""
    if config.option.markexpr:
        return
    kept = [item for item in items if item.get_closest_marker("night") is None]
    left = [item for item in items if item.get_closest_marker("night") is not None]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept
