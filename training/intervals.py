"""How sure a share is: Wilson's interval."""

from __future__ import annotations

import math


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson 1927, JASA 22, 209–212).

    Returns:
        Lower and upper end, 0 to 1; the whole range where there was no trial.
    """
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    whole = 1 + z * z / trials
    return max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole)


def share(hits: int, trials: int) -> dict[str, object]:
    """A share with what it was counted from, for reports."""
    low, high = wilson(hits, trials)
    return {
        "hits": hits,
        "of": trials,
        "share": round(hits / trials, 4) if trials else None,
        "interval_95": [round(low, 4), round(high, 4)],
    }
