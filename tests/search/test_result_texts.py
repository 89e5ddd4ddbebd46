"""What `.results.*` say of names that no screen shows."""

import json

from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.volume.hits import Hit, Outcome
from vexfs_fuse.volume.query import Query


def test_a_hit_is_one_line_whatever_its_name() -> None:
    hit = Hit(Inode(7), b"a/one\ntwo\xff.txt", 0.5, None, False)
    outcome = Outcome([hit], "names", None, "", None, 1, None)
    results = ResultSet(Query(), (b"word",), ROOT, outcome, {})
    assert results.text().splitlines()[1:] == [b"   1    0.5000  a/one?two\xff.txt"]
    (line,) = results.jsonl().splitlines()[1:]
    assert json.loads(line)["path"].encode(errors="surrogateescape") == hit.path
