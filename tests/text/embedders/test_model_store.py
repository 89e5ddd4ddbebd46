"""Which models are there, and for whom."""

from pathlib import Path

import pytest

from tests.support.persons import ALICE, acting_as
from vexfs_fuse.text.embedders import model_store


def test_a_place_that_one_may_not_enter_has_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    (closed / "vexfs" / "models" / "one").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(closed))
    monkeypatch.setattr("vexfs_fuse.text.embedders.model_store.sys.prefix", str(closed))
    assert acting_as(ALICE, lambda: list(model_store.installed())) == []
