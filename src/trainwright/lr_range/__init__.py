"""A learning rate from one short sweep: the rate grows at every step until the loss blows up.

    found = lr_range.range_test(net, optimizer, loader, lambda net, batch: loss_of(net(batch[0]), batch[1]))
    print(found)

The sweep runs on copies: model, optimiser, random numbers and the order of the data are as they were before, to the
bit. What it finds is where to begin, not where the optimum lies: bench/toolkit/lr_range.py holds it against grids of
trainings, with how often it is right. torch has no range test.
"""

from .sweep import range_test
from .verdict import RangeTest, judge

__all__ = ["RangeTest", "judge", "range_test"]
