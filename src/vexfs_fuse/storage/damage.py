"""What was found damaged while it was read: counted, and each place logged once.

Whoever finds damage answers EIO for what it is about; this is for those who look after the volume.
"""

import logging
from collections import OrderedDict
from typing import Any, Final

_log = logging.getLogger(__name__)

PLACES_MAX: Final = 1_000
"""So many places are remembered as logged; then the oldest may be logged once more."""


class DamageFound:
    """The damage that one volume's readers have met since it was opened; any thread may note some."""

    def __init__(self) -> None:
        self.count = 0
        self.last: str | None = None
        self._logged: OrderedDict[str, None] = OrderedDict()

    def note(self, sentence: str) -> None:
        """Count one answer that could not be given, and say why, unless that was said before."""
        self.count += 1
        self.last = sentence
        if sentence in self._logged:
            return
        self._logged[sentence] = None
        if len(self._logged) > PLACES_MAX:
            self._logged.popitem(last=False)
        _log.error("%s", sentence)

    def statistics(self) -> dict[str, Any]:
        """Return what there is to tell."""
        return {"found": self.count, "last": self.last}
