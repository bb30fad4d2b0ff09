"""Whether a stop is to be trusted."""

from __future__ import annotations

from math import inf

from .early import EarlyStopping
from .scores import finite, noise

__all__ = ["advice"]


def advice(stop: EarlyStopping) -> str | None:
    """What to do about scores so noisy that chance chose the best of them; `None` where they are not.

    Chance chose where the best leads the best before it by less than the noise, and the noise is more than
    `min_change`.

    Args:
        stop: as far as it has come; ask when it has stopped.

    Returns:
        A sentence with the figures, or `None`.

    Helps: deciding whether a stop is to be trusted, and how to smooth.

    Harms: nothing.

    Costs: nothing.

    Source: ours.

    >>> from torch import nn
    >>> stop = EarlyStopping(nn.Linear(1, 1), patience=5)
    >>> for score in (0.50, 0.41, 0.52, 0.43, 0.55, 0.40, 0.51, 0.44, 0.49): _ = stop(score)
    >>> print(advice(stop))
    The scores scatter by 0.0..., and the best is only 0.01 better than the one before it, so chance chose it. ...
    """
    if stop.best is None or stop.best_at is None:
        return None
    lead = min((abs(s - stop.best) for s in finite(stop.scores[: stop.best_at])), default=inf)
    spread = noise(stop.scores)
    if not spread > max(lead, stop.min_change):
        return None
    return (
        f"The scores scatter by {spread:.3g} about their course, and the best is only {lead:.3g} better than the one "
        f"before it, so chance chose it. Judge by the median of several, EarlyStopping(..., "
        f"smooth={2 * stop.smooth + 1}), validate on more data, or average the weights; or let no less than "
        f"min_change={spread:.1g} count."
    )
