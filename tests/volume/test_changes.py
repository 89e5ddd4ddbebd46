"""What the journal holds of a change."""

import msgpack
import pytest
from msgspec.msgpack import encode

from vexfs_fuse.volume.changes import Kinds, body


@pytest.mark.parametrize("kind", Kinds.BY_NAME.values(), ids=Kinds.BY_NAME)
def test_a_body_is_a_map_of_the_fields_in_their_order(kind: type) -> None:
    fields = kind._fields  # type: ignore[attr-defined]  # a NamedTuple
    change = kind(*range(len(fields)))
    assert list(msgpack.unpackb(encode(body(change))).items()) == [
        *zip(fields, change, strict=True)
    ]
