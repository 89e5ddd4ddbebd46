"""Acting as somebody else: a forked child that gives up root before it calls."""

import os
import pickle
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")


class Person(NamedTuple):
    """Who calls: user id, group id, further groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


ALICE: Final = Person(uid=61_001, gid=61_001)
BOB: Final = Person(uid=61_002, gid=61_002)
SHARED_GROUP: Final = 61_100


def acting_as(person: Person, action: Callable[[], T]) -> T:
    """Run `action` as `person` in a child, and return or raise what it did.

    An OSError comes back with its errno; whatever else went wrong comes back as AssertionError.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer_as(person, action, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    kind, value = pickle.loads(answer)
    if kind == "errno":
        raise OSError(value, os.strerror(value))
    assert kind == "value", value
    result: T = value
    return result


def _answer_as(person: Person, action: Callable[[], T], writing: int) -> None:
    """The child's whole life: it leaves by `_exit`, so that pytest runs once."""
    try:
        os.setgroups(person.groups)
        os.setresgid(person.gid, person.gid, person.gid)
        os.setresuid(person.uid, person.uid, person.uid)
        answer: tuple[str, object] = ("value", action())
    except OSError as error:
        answer = ("errno", error.errno)
    except BaseException as error:  # noqa: BLE001 - the parent tells of it
        answer = ("failure", repr(error))
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(pickle.dumps(answer))
    os._exit(0)
