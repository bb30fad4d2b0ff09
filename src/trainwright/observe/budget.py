"""How often to look, so that looking costs no more than it may. No torch.

Reading step k costs what the last readings cost (their median); it is done when all that was spent, that
included, stays within the budget's share of the time that training has taken. The first steps are looked at
more often than that: their cost goes to a start-up allowance, is bounded, and is reported apart.
"""

from __future__ import annotations

from collections import deque
from statistics import median

STARTUP_S = 0.25
"""Most time for start-up readings, beyond finding the model."""

STARTUP_STEPS = frozenset({0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96})
"""Steps that are read while the start-up allowance lasts: nearly all of the first ten, then spaced evenly on
a log scale."""

UNSEEN_S = 5e-6
"""What the handlers do not see of a step's cost: the frames of the wrappers around six calls of torch."""


class Budget:
    """Keeps account of our own time, in seconds, and says when the next reading may be."""

    def __init__(self, share: float):
        self.share = share
        self.spent_s = 0.0  # steady state
        self.startup_s = 0.0
        self.elapsed_s = 0.0  # the run's own time, ours taken out
        self.sampled = 0
        self.steps = 0
        self.costs: deque[float] = deque(maxlen=5)
        self.expected_s = 0.0  # cost of the next reading
        self.excess: deque[float] = deque(maxlen=9)  # time of steps that were read beyond that of others
        self.fixed: deque[float] = deque(maxlen=15)  # cost of steps that are not read
        self.step_times: deque[float] = deque(maxlen=15)

    def step_took(self, wall_s: float, own_s: float, *, read: bool, startup: bool) -> None:
        """One more optimiser step.

        Args:
            wall_s: its time from end to end.
            own_s: how much of that our handlers took.
            read: whether it was a step at which signals were read.
            startup: whether its cost goes to the start-up allowance.
        """
        self.steps += 1
        clean = max(0.0, wall_s - own_s)
        cost = own_s + UNSEEN_S
        if read:
            plain = self.step_s
            if (
                plain is not None
            ):  # torch's slower way through hooks, cold caches, steps run without compilation
                self.excess.append(clean - plain)
                clean = plain
                cost += max(0.0, median(self.excess))
            self.sampled += 1
            self.costs.append(cost)
            self.expected_s = median(self.costs)
        else:
            self.step_times.append(clean)
            self.fixed.append(cost)
        self.elapsed_s += clean
        if startup:
            self.startup_s += cost
        else:
            self.spent_s += cost

    @property
    def fixed_s(self) -> float | None:
        """Median cost of a step that is not read."""
        return median(self.fixed) if self.fixed else None

    def in_startup(self, step: int) -> bool:
        """Whether a reading at `step` is charged to the start-up allowance."""
        return step in STARTUP_STEPS and self.startup_s < STARTUP_S

    def allows(self, step: int) -> bool:
        """Whether step number `step`, which is about to begin, may be read."""
        if self.share <= 0:
            return False
        if self.in_startup(step):
            return True
        return self.spent_s + self.expected_s <= self.share * self.elapsed_s

    @property
    def step_s(self) -> float | None:
        """Median time of the last steps without ours."""
        return median(self.step_times) if self.step_times else None

    def thinning(self) -> int:
        """Into how many parts the layers are divided, of which one is read at a time: 1 = all.

        More than one where a full reading would come less than once in 200 steps.
        """
        step_s = self.step_s
        if not self.costs or not step_s or self.share <= 0:
            return 1
        every = self.expected_s / (self.share * step_s)
        return max(1, min(16, round(every / 200)))

    def share_spent(self) -> float | None:
        """Our time over the run's, start-up apart."""
        return self.spent_s / self.elapsed_s if self.elapsed_s > 0 else None
