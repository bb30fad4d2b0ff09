"""Learning rates over time: functions of the optimiser step that give a factor, for `LambdaLR`.

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.warm_up(500, then=schedule.cosine(9_500)))
    for batch in loader:
        ...
        optimizer.step()
        scheduler.step()  # after every optimiser step

Which one: `warm_up(..., then=cosine(...))` when the length is known; `warm_up_stable_decay` when it may change;
`Plateau` when only the validation score tells. Find the rate itself with `lr_range.range_test`.

The factor multiplies each group's own learning rate. `schedule(0)` is for the first optimiser step, and a schedule of
n steps reaches its end at `schedule(n)`, after the last one, and stays there: no step is wasted on a rate of zero.
All but `Plateau` are without state, so a run that resumes at step n needs nothing but n. torch has most of these
shapes as classes (`CosineAnnealingLR`, `OneCycleLR`, `CyclicLR`, ...); these give the same numbers, can be plotted
without an optimiser, and fit together. `OneCycleLR` and `CyclicLR` can move the momentum as well, which a factor for
the rate cannot.
"""

from .curves import cosine, linear, polynomial, square_root
from .cycles import cyclical, one_cycle, warm_restarts
from .joined import join, multiply, per_epoch, warm_up, warm_up_stable_decay
from .plateau import Plateau
from .preset import Schedule, constant, exponential, milestones, staircase

__all__ = [
    "Plateau",
    "Schedule",
    "constant",
    "cosine",
    "cyclical",
    "exponential",
    "join",
    "linear",
    "milestones",
    "multiply",
    "one_cycle",
    "per_epoch",
    "polynomial",
    "square_root",
    "staircase",
    "warm_restarts",
    "warm_up",
    "warm_up_stable_decay",
]
