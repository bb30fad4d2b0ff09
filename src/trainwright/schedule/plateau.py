"""By performance: the rate falls when the validation score no longer improves."""

from __future__ import annotations

from math import inf, isfinite
from typing import Literal

from ._arguments import count, fraction, past

__all__ = ["Plateau"]


class Plateau:
    """A schedule that falls by `factor` when the score has not improved for longer than `patience` scores.

    Tell it each validation score with `plateau.score(value)`. It is itself a schedule, step to factor, so it goes
    alone or inside `multiply` into `LambdaLR`; the new rate holds from the scheduler's next step on.

    Args:
        factor: in (0, 1).
        patience: scores in a row without improvement that are let pass.
        mode: "min" for losses, "max" for accuracies.
        min_change: least improvement, as a share of the best score's size: best − t·|best| in mode min, so scores below
            zero are right too. 0 takes any.
        min_change_abs: least improvement in the score's own unit, on top.
        cooldown: scores after a fall that do not count as bad.
        low: the factor never goes below it, in [0, 1].

    Raises:
        ValueError: an argument outside its range.

    Helps: a length not known in advance; validation after every epoch.

    Harms: noisy scores, which look like plateaus: validate on more data, or raise `patience`.

    Costs: nothing but the validation.

    Source: as `torch.optim.lr_scheduler.ReduceLROnPlateau`, but for three things. A score that is NaN or infinite is no
    improvement, whichever came first, and is counted in `not_finite`. The relative threshold takes the score's sign
    into account; torch's factor best·(1 − t) calls a score below zero better when it is slightly worse. It fits into
    compositions.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> plateau = Plateau(factor=0.5, patience=1)
    >>> scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, plateau)
    >>> for validation_loss in (1.0, 0.9, 0.95, 0.93):
    ...     plateau.score(validation_loss)
    ...     sgd.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        factor: float = 0.5,
        patience: int = 5,
        *,
        mode: Literal["min", "max"] = "min",
        min_change: float = 0.0,
        min_change_abs: float = 0.0,
        cooldown: int = 0,
        low: float = 0.0,
    ) -> None:
        fraction("Plateau", factor=factor, above=0)
        if factor == 1:
            raise ValueError(
                "Plateau() got factor=1; then the rate never falls. Pass a share below 1, such as 0.5."
            )
        fraction("Plateau", min_change=min_change, low=low)
        fraction("Plateau", min_change_abs=min_change_abs, most=inf)
        count("Plateau", least=0, patience=patience, cooldown=cooldown)
        if mode not in ("min", "max"):
            raise ValueError(
                f"Plateau() got mode={mode!r}; it takes 'min' for losses or 'max' for accuracies."
            )
        self._by, self._patience, self._mode, self._cooldown, self._low = (
            factor,
            patience,
            mode,
            cooldown,
            low,
        )
        self._least = (min_change, min_change_abs)
        self.factor = 1.0
        """What the rate is multiplied by now."""
        self.best: float | None = None
        """Best score so far; `None` before the first finite one."""
        self.bad = 0
        """Scores in a row without improvement."""
        self.not_finite = 0
        """Scores that were NaN or infinite."""
        self._rest = 0

    def __call__(self, step: int) -> float:
        """The factor now, whatever the step."""
        past(step)
        return self.factor

    def score(self, value: float) -> None:
        """Tell it a validation score, after every validation."""
        value = float(value)
        self.not_finite += not isfinite(value)
        if isfinite(value) and self._better(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self._rest > 0:
            self._rest, self.bad = self._rest - 1, 0
        if self.bad > self._patience:
            self.factor = max(self.factor * self._by, self._low)
            self.bad, self._rest = 0, self._cooldown

    def _better(self, value: float) -> bool:
        if self.best is None:
            return True
        least = self._least[0] * abs(self.best) + self._least[1]
        return value < self.best - least if self._mode == "min" else value > self.best + least

    def state_dict(self) -> dict[str, float | int | None]:
        """All that changes, for a checkpoint."""
        return {
            "factor": self.factor,
            "best": self.best,
            "bad": self.bad,
            "not_finite": self.not_finite,
            "rest": self._rest,
        }

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Go on from a checkpoint; the arguments are those of this object."""
        known = self.state_dict()
        if state.keys() != known.keys():
            raise ValueError(f"Plateau got a state with {sorted(state)}; it needs {sorted(known)}.")
        numbers = {name: value for name, value in state.items() if value is not None}
        if {"factor", "bad", "not_finite", "rest"} - numbers.keys():
            raise ValueError(f"Plateau got a state with None in {state}; only `best` may be None.")
        self.factor, self.best = float(numbers["factor"]), numbers.get("best")
        self.bad, self.not_finite, self._rest = (int(numbers[n]) for n in ("bad", "not_finite", "rest"))
