"""Parameter groups for an optimiser: which weights decay, which layers learn at what rate, and what is left out.

`decay_groups` for almost every training with weight decay; `layer_rates` when fine-tuning a pre-trained model;
`missing` after the optimiser is made; `freeze_` and `thaw_` for training a part of a model.

torch takes groups (`torch.optim.AdamW(groups)`) but makes none. Its `weight_decay` on all parameters decays biases and
norm scales, too. Decay in `torch.optim.Adam` goes through its moments and is no decay: take `AdamW`.
"""

from .decay import decay_groups, roles
from .freeze import freeze_, missing, thaw_
from .rates import layer_rates, parts

__all__ = ["decay_groups", "freeze_", "layer_rates", "missing", "parts", "roles", "thaw_"]
