"""When to give up on a hypervisor, and when to try again."""

from __future__ import annotations


class Breaker:
    """Trips after several deadlines in a row: calls then fail at once instead of queueing up.

    Parameters
    ----------
    threshold
        How many deadlines in a row.
    """

    def __init__(self, threshold: int = 3) -> None:
        self.threshold = threshold
        self._missed = 0

    @property
    def tripped(self) -> bool:
        """Whether too many deadlines were missed."""
        return self._missed >= self.threshold

    def missed(self) -> bool:
        """Count a missed deadline; say whether the breaker trips by it."""
        self._missed += 1
        return self._missed == self.threshold

    def answered(self) -> None:
        """Forget what was missed: the hypervisor answers."""
        self._missed = 0


class BackOff:
    """Seconds to wait before each further attempt.

    Parameters
    ----------
    first
        Before the second attempt.
    longest
        At most.
    """

    def __init__(self, first: float = 1, longest: float = 10) -> None:
        self.first = first
        self.longest = longest
        self._attempts = 0

    def next(self) -> float:
        """Return the next pause; each is twice the one before."""
        pause = min(self.longest, self.first * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return pause

    def reset(self) -> None:
        """Begin anew."""
        self._attempts = 0
