"""Puts together what searches the texts of an open volume, mounted or not."""

from collections.abc import Callable
from functools import partial
from typing import Any

from vexfs_fuse.runtime.journal_follower import JournalFollower
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.volume.live_names import LiveNames
from vexfs_fuse.volume.text_search import Questions, TextSearch
from vexfs_fuse.volume.volume import Volume


def text_search(
    volume: Volume,
    lookup: TextLookup,
    questions: Questions | None,
    progress: Callable[[], dict[str, Any]],
) -> TextSearch:
    """Return what searches the texts of a volume, whose changes of names it is told of from now on."""
    names = LiveNames(volume.catalogue)
    volume.applier.named = names.note
    follower = JournalFollower(volume.disk)
    return TextSearch(
        volume.search,
        volume.applier.vectors,
        lookup,
        questions,
        progress,
        names,
        partial(follower.named_since, through=volume.durable_lsn),
    )
