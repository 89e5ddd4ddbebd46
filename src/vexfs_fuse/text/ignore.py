"""Which files are left out of the index: patterns in the syntax of gitignore(5), as git understands them.

Knows no volume and no file of patterns: it is given bytes.  Patterns come from whoever may write a
`.vexignore`, so none may take long: names are matched component by component, each by a regular
expression that never tries a place twice, and `**` by stepping over components.
"""

import re
import string
from collections.abc import Sequence
from typing import Final, NamedTuple

FILE_NAME: Final = b".vexignore"

LINES_MAX: Final = 1_000
"""Lines of one file that count; each costs every file below it about a microsecond."""

BYTES_MAX: Final = 64 * 1024
"""Bytes of one file that count."""

DEFAULT_LINES: Final = b"""\
# What versions and caches keep, and what is made from other files.
.git/
.hg/
.svn/
.bzr/
.jj/
CVS/
node_modules/
bower_components/
__pycache__/
.venv/
.tox/
.nox/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.hypothesis/
.ipynb_checkpoints/
.gradle/
.terraform/
.cache/
.Trash-*/
lost+found/
.vexignore
*.pyc
*.pyo
*.o
*.obj
*.a
*.so
*.so.*
*.dylib
*.dll
*.class
*.min.js
*.min.css
*.map
# What editors and programs under way leave.
*~
.*.sw?
.#*
\\#*#
.~lock.*#
~$*
*.tmp
*.part
*.crdownload
.DS_Store
Thumbs.db
# What holds secrets.
.ssh/
.gnupg/
*.pem
*.key
*.kdbx
"""


class Ignore:
    """The patterns of one file.  The last one that matches decides."""

    def __init__(self, lines: bytes) -> None:
        text = lines[:BYTES_MAX].removeprefix(b"\xef\xbb\xbf")
        parsed = (_parse(line) for line in text.split(b"\n")[:LINES_MAX])
        self._patterns = [pattern for pattern in parsed if pattern is not None][::-1]

    def matches(self, path_below: bytes, is_directory: bool) -> bool | None:
        """Say whether a path is left out: True, False after a `!`, None when no pattern speaks of it.

        `path_below` is relative to the directory of the file, without a slash at either end.  Of the
        directories above nothing is asked here: see `is_ignored`.
        """
        components = path_below.split(b"/")
        for pattern in self._patterns:
            if pattern.matches(components, is_directory):
                return not pattern.negated
        return None


def is_ignored(path: bytes, is_directory: bool, files: Sequence[tuple[bytes, Ignore]]) -> bool:
    """Say whether `path`, relative to the volume's root, is left out.

    `files` are directories with their patterns, those of the root first, the root as `b""`.  Patterns
    further down count before those above.  What lies in a directory that is left out is left out
    too, whatever is said of it.
    """
    components = path.split(b"/")
    for depth in range(1, len(components) + 1):
        part = b"/".join(components[:depth])
        if _decide(part, is_directory or depth < len(components), files):
            return True
    return False


def _decide(path: bytes, is_directory: bool, files: Sequence[tuple[bytes, Ignore]]) -> bool:
    for directory, ignore in reversed(files):
        prefix = directory + b"/" if directory else b""
        if path.startswith(prefix):
            said = ignore.matches(path[len(prefix) :], is_directory)
            if said is not None:
                return said
    return False


class _AnyDepth:
    """Stands for `**` between slashes."""


_ANY_DEPTH: Final = _AnyDepth()

_Component = re.Pattern[bytes] | _AnyDepth


class _Pattern(NamedTuple):
    components: list[_Component]
    negated: bool
    only_directories: bool
    anywhere: bool  # it has no slash: it speaks of the last component, at any depth

    def matches(self, path: list[bytes], is_directory: bool) -> bool:
        if self.only_directories and not is_directory:
            return False
        return _matches(self.components, path[-1:] if self.anywhere else path)


def _matches(pattern: list[_Component], path: list[bytes]) -> bool:
    """Match component by component.

    `reached` are the lengths that the beginning of the path may have which the pattern so far stands for.
    """
    reached = {0}
    for place, component in enumerate(pattern, start=1):
        if isinstance(component, _AnyDepth):
            least = min(reached) + (place == len(pattern))  # `a/**` is not `a` itself
            reached = set(range(least, len(path) + 1))
        else:
            reached = {
                length + 1
                for length in reached
                if length < len(path) and component.fullmatch(path[length])
            }
        if not reached:
            return False
    return len(path) in reached


class _MatchesNothing(ValueError):
    """A bracket is not closed, or nothing follows a backslash: git takes that for no match at all."""


def _parse(line: bytes) -> _Pattern | None:
    line = _trim(line.removesuffix(b"\r"))
    if not line or line.startswith(b"#"):
        return None
    negated = line.startswith(b"!")
    body = line[negated:]
    only_directories = body.endswith(b"/")
    body = body[: len(body) - only_directories]
    try:
        components = _components(body.removeprefix(b"/"))
    except _MatchesNothing:
        return None
    return _Pattern(components, negated, only_directories, anywhere=b"/" not in body)


def _trim(line: bytes) -> bytes:
    """Return the line without the spaces at its end; one after a backslash stays."""
    bare = line.rstrip(b" ")
    escapes = len(bare) - len(bare.rstrip(b"\\"))
    return line[: len(bare) + 1] if escapes % 2 else bare


def _components(body: bytes) -> list[_Component]:
    components: list[_Component] = []
    pieces = [b""]  # regular expressions of what stands between the asterisks of a component
    stars = at = 0
    while at < len(body):
        byte = body[at : at + 1]
        if byte == b"/" or body[at : at + 2] == b"\\/":
            components.append(_component(pieces, stars))
            pieces, stars = [b""], 0
            at += 1 if byte == b"/" else 2
            continue
        if byte == b"*":
            pieces.append(b"")
            stars += 1
            at += 1
        elif byte == b"?":
            pieces[-1] += b"."
            at += 1
        elif byte == b"[":
            members, at = _bracket(body, at + 1)
            pieces[-1] += members
        else:
            value, at = _literal(body, at)
            pieces[-1] += re.escape(bytes([value]))
    return [*components, _component(pieces, stars)]


def _component(pieces: list[bytes], stars: int) -> _Component:
    """Return what matches one component.

    After an asterisk the first place where the next piece fits is as good as any later one, so each is an atomic
    group: without them, twenty asterisks in a pattern would try 255 to the power of twenty ways.
    """
    if stars > 1 and not any(pieces):
        return _ANY_DEPTH
    first, *inner = pieces
    expression = first
    if inner:
        *inner, last = inner
        expression += b"".join(b"(?>.*?" + piece + b")" for piece in inner if piece)
        expression += b".*" + last
    return re.compile(expression, re.DOTALL)


def _bracket(body: bytes, at: int) -> tuple[bytes, int]:
    """Return the regular expression of the bracket that was opened before `at`, and where it ends."""
    negated = body[at : at + 1] in (b"!", b"^")
    first = at = at + negated
    members: set[int] = set()
    previous: int | None = None
    while at == first or body[at : at + 1] != b"]":
        if named := _CLASS.match(body, at):
            members.update(_class(named[1]))
            previous, at = None, named.end()
        elif (
            previous is not None
            and body[at : at + 1] == b"-"
            and body[at + 1 : at + 2] not in (b"", b"]")
        ):
            last, at = _literal(body, at + 1)
            members.update(range(previous, last + 1))
            previous = None
        else:
            previous, at = _literal(body, at)
            members.add(previous)
    if negated:
        members = set(range(256)) - members
    expression = b"".join(b"\\x%02x" % member for member in sorted(members))
    return b"[" + expression + b"]" if members else b"(?!)", at + 1


def _literal(body: bytes, at: int) -> tuple[int, int]:
    """Return the byte at `at`, or the one after it if that is a backslash, and where the next one is."""
    at += body[at : at + 1] == b"\\"
    if at >= len(body):
        raise _MatchesNothing
    return body[at], at + 1


_CLASS: Final = re.compile(rb"\[:([^\]]*):\]")
_GRAPHIC: Final = bytes(range(0x21, 0x7F)).decode("ascii")
_CLASSES: Final = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": bytes([*range(0x20), 0x7F]).decode("ascii"),
    b"digit": string.digits,
    b"graph": _GRAPHIC,
    b"lower": string.ascii_lowercase,
    b"print": _GRAPHIC + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


def _class(name: bytes) -> bytes:
    if name not in _CLASSES:
        raise _MatchesNothing
    return _CLASSES[name].encode("ascii")


DEFAULT: Final = Ignore(DEFAULT_LINES)
"""Holds in every volume, before any file of patterns."""
