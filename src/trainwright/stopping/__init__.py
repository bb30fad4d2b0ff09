"""Stop when the validation score no longer improves, and get the best weights back.

    stop = EarlyStopping(net, patience=10)
    for epoch in range(1000):
        train_one_epoch()
        if stop(validation_loss()):
            break
    stop.restore_()

torch has no early stopping. Stopping by a score makes it part of training: report a test score of data that neither
trained nor stopped.
"""

from .early import EarlyStopping
from .scores import agree, noise
from .trust import advice

__all__ = ["EarlyStopping", "advice", "agree", "noise"]
