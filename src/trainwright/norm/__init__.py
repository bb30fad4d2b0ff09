"""Normalisation: put it into a model that has none, and make batch norm's statistics what they should be.

- `insert_` puts norms after linear and convolution layers, before their activations. Which kind: batch norm for
  convolutions and batches of 16 and more; group norm for convolutions with smaller ones; layer norm for linear layers
  and sequences; instance norm for the transfer of style.
- `reestimate_` replaces batch norm's running averages by the moments of a whole data set: after averaging weights,
  after changing weights by hand, and where training and testing disagree.
- `freeze_` holds the statistics still while a pre-trained model is fine-tuned.
- `batch_to_group_` for batches that are too small for batch norm.
- `enough` keeps a last batch of one sample, which has no variance, away from batch norm.

torch has the layers (`nn.BatchNorm2d`, `nn.LayerNorm`, ...), which take the batch's statistics in training and the
population's in testing, and `nn.SyncBatchNorm.convert_sync_batchnorm` for several processes. They divide by the square
root of the variance plus eps, not by the variance. Its `torch.optim.swa_utils.update_bn` is not `reestimate_`: it
averages the variances within batches, leaves out how much the means of batches differ, and counts a small last batch as
a full one.
"""

from .freeze import freeze_, thaw_
from .insert import insert_
from .population import enough, reestimate_
from .replace import batch_to_group_

__all__ = ["batch_to_group_", "enough", "freeze_", "insert_", "reestimate_", "thaw_"]
