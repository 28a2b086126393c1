"""How much a guest may say: what is more waits, and with it the guest."""

from __future__ import annotations

BYTES = 64 * 1024
"""Bytes that cost as much as one message."""


class Allowance:
    """So much at once, then so much a second (a token bucket).

    Pure: whoever spends it is told how long to wait, and waits.

    Parameters
    ----------
    burst
        What may be spent at once.
    rate
        What comes back each second.
    """

    def __init__(self, burst: float = 256, rate: float = 20) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._at = float("-inf")

    def spend(self, amount: float, now: float) -> float:
        """Spend `amount`; return the seconds to wait before anything more is listened to.

        Parameters
        ----------
        now
            Of a clock that never goes back, in seconds.
        """
        if self._at != float("-inf"):
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left -= amount
        return max(0.0, -self._left / self._rate)
