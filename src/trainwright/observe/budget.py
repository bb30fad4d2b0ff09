"""How often to look, so that looking costs no more than it may. No torch.

Reading step k costs what the last readings cost (their median); it is done when all that was spent, that
included, stays within the budget's share of the time that training has taken. The first steps are looked at
more often than that: their cost goes to a start-up allowance, is bounded, and is reported apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import ceil, log2
from statistics import median

STARTUP_S = 0.5
"""Most time for start-up readings, beyond finding the model."""

STARTUP_STEPS = frozenset({0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96}) | {
    step for k in range(7, 40) for step in (2**k, 3 * 2 ** (k - 1))
}
"""Read while the start-up allowance lasts: nearly all of the first ten steps, then two an octave."""

_STARTUP_ORDER = sorted(STARTUP_STEPS)

KEPT = 0.6
"""The part of the budget that is planned with; the rest is for what cannot be measured from inside, such as
caches that a reading leaves cold. Set by bench/watch_cost.py, so that what is measured from outside fits."""

READINGS = 0.25
"""Readings get this part of it at least, where steps are so short that noting the loss takes it all."""

UNSEEN_S = 5e-6
"""What the handlers do not see of a step's cost: the frames of the wrappers around six calls of torch."""


class Budget:
    """Keeps account of our own time, in seconds, and says when the next reading may be."""

    def __init__(self, share: float):
        self.share = share
        self.noted_s = 0.0  # spent on steps that are not read
        self.read_s = 0.0  # spent on readings after the start
        self.startup_s = 0.0  # spent on the readings of `STARTUP_STEPS`
        self.found_s = 0.0  # spent on finding the models
        self.elapsed_s = 0.0  # the run's own time, ours taken out
        self.sampled = 0
        self.steps = 0
        self.costs: deque[float] = deque(maxlen=5)
        self.expected_s = 0.0  # cost of the next reading
        self._parts = 1
        self._stride = 1  # steps from one reading to the next at the least, a power of two
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
            # Hooks make torch slow and caches cold, and a compiled model may have run without compilation.
            if plain is not None:
                self.excess.append(clean - plain)
                clean = plain
                cost += max(0.0, median(self.excess))
            self.sampled += 1
            self.costs.append(cost)
            self.expected_s = median(self.costs)
            self._stride = 1 << max(0, ceil(log2(max(1.0, self._every()))))
            if startup:
                self.startup_s += cost
            else:
                self.read_s += cost
        else:
            self.step_times.append(clean)
            self.fixed.append(cost)
            self.noted_s += cost
        self.elapsed_s += clean

    @property
    def spent_s(self) -> float:
        """What watching has cost, start-up apart."""
        return self.noted_s + self.read_s

    @property
    def fixed_s(self) -> float | None:
        """Median cost of a step that is not read."""
        return median(self.fixed) if self.fixed else None

    def in_startup(self, step: int) -> bool:
        """Whether a reading at `step` is charged to the start-up allowance."""
        return step in STARTUP_STEPS and self.startup_s < STARTUP_S

    def allows(self, step: int) -> bool:
        """Whether step number `step`, which is about to begin, may be read.

        After the start only multiples of a power of two are, so that ranks of one training, whose readings
        cost about the same, read the same steps.
        """
        if self.share <= 0:
            return False
        if self.in_startup(step):
            return True
        if step % self._stride:
            return False
        planned = KEPT * self.share * self.elapsed_s
        return self.read_s + self.expected_s <= max(planned - self.noted_s, READINGS * planned)

    def plain_steps(self, wall_s: float, own_s: float, steps: int) -> None:
        """`step_took` of so many steps together that were not read."""
        cost, clean = own_s / steps + UNSEEN_S, max(0.0, wall_s - own_s) / steps
        self.steps += steps
        self.step_times.append(clean)
        self.fixed.append(cost)
        self.noted_s += cost * steps
        self.elapsed_s += clean * steps

    def steps_until_read(self, step: int) -> int:
        """How many steps from `step` on will not be read, as is known of that one."""
        of_startup = _STARTUP_ORDER[bisect_right(_STARTUP_ORDER, step)]
        return min((step // self._stride + 1) * self._stride, of_startup) - step

    def _every(self) -> float:
        """Steps between two readings that the budget can pay for."""
        step_s, fixed_s = self.step_s, self.fixed_s
        if not step_s or fixed_s is None or not self.share:
            return 1.0
        income = KEPT * self.share * step_s
        return self.expected_s / max(income - fixed_s, READINGS * income)

    @property
    def step_s(self) -> float | None:
        """Median time of the last steps without ours."""
        return median(self.step_times) if self.step_times else None

    def thinning(self) -> int:
        """Into how many parts the layers are divided, of which one is read at a time: 1 = all.

        More than one where a full reading would come less than once in 200 steps.
        """
        if self.costs:  # what a part costs tells what the whole would
            self._parts = max(1, min(16, round(self._every() * self._parts / 200)))
        return self._parts

    def share_spent(self) -> float | None:
        """Our time over the run's, start-up apart."""
        return self.spent_s / self.elapsed_s if self.elapsed_s > 0 else None
