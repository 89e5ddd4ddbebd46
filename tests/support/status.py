"""A volume's status as the metrics read it, for tests that need no volume."""

from typing import Any

STATUS: dict[str, Any] = {}
