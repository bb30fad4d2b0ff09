"""A learning rate from a short sweep, in which it grows at every step until the loss blows up, and short trainings.

    found = lr_range.range_test(net, lambda net, batch: loss_of(net(batch[0]), batch[1]), loader, optimizer)
    print(found)

All runs on copies: model, optimiser, random numbers and the order of the data are as they were before, to the bit. A
sweep alone (`confirm=0`) costs two hundred steps and is too low for what learns slowly, ten times and more. So copies
train for 150 steps each at some rates around it, and batches that they do not train on tell which is best.

How often that is right, with SGD, momentum and Adam, against grids of trainings (bench/toolkit/lr_range.py): the median
suggestion lies within three times the best rate in 8 of 12 cases that were held out, and in 32 of the 36 on which the
method was chosen; within three times a rate as good, which misses at most 5 % of what training gains, in 10 of 12 and
35 of 36. For the sweep alone it is 4 and 19, 8 and 32. In 10 of 36 tests on the held-out problems it suggests nothing.
torch has no range test.
"""

from .sweep import range_test
from .verdict import RangeTest, judge

__all__ = ["RangeTest", "judge", "range_test"]
