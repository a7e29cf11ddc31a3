"""The clock of a service: it stands still where that of the machine is set back a little."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

MOST_BACK = timedelta(seconds=60)
_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """Tells the time of the machine, and never an earlier one than before, unless that is set back by more than a minute.

    What has ended stays ended while a clock is set right by seconds. A clock that was wrong by more is believed at once: standing
    still for an hour or a year would deny what begins meanwhile, and nobody would know why. Any thread may ask.
    """

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._last = clock()

    def __call__(self) -> datetime:
        """The time."""
        now, last = self._clock(), self._last
        if now < last:
            if last - now <= MOST_BACK:
                return last
            _log.warning("the clock went back from %s to %s; what ended between the two counts again", last, now)
        self._last = now
        return now

    def seconds(self) -> float:
        """The time, in seconds since 1970."""
        return self().timestamp()
