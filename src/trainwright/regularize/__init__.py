"""Fewer degrees of freedom: penalties and limits on the weights, dropout, softened labels.

Which one: weight decay first, by `torch.optim.AdamW` or `SGD(weight_decay=...)` on the groups that
`groups.decay_groups` makes, so that biases and norm scales stay free. `l1_prox_` where weights shall become exactly
zero, `pull_` when fine-tuning, `dropout_` for wide dense layers with few data, `cross_entropy(smoothing=...)` for
over-confident classifiers. Several at once rarely add up: change one, measure, then the next.

The convention, everywhere here: the loss is a mean over samples; `strength` is λ and `samples` is N, the number of
training samples, in a penalty λ/N·Σ|θ| or λ/2N·Σθ². With `samples=1`, the default, `strength` is λ/N itself, which
torch's optimisers call `weight_decay`.

torch has: coupled L2 for SGD (`weight_decay`), decoupled decay (`AdamW`), dropout that scales in training
(`nn.Dropout`), the norm limit of an embedding (`nn.Embedding(max_norm=...)`).
"""

from .dropout import classical_dropout, dropout_
from .labels import cross_entropy
from .start import pull_, pull_penalty
from .weights import Sparsity, decay_, l1_prox_, max_norm_, penalty, sparsity

__all__ = [
    "Sparsity",
    "classical_dropout",
    "cross_entropy",
    "decay_",
    "dropout_",
    "l1_prox_",
    "max_norm_",
    "penalty",
    "pull_",
    "pull_penalty",
    "sparsity",
]
