"""Starting weights: for a whole model in one call (`model_`), or layer by layer.

**Which one.** `model_(model, batch)` for a model built from scratch, whatever it is made of. `unit_variance_` where
the weights have directions that must stay. `load_matching_` where weights of a trained model exist: nothing beats
those. The functions for single layers (`scaled_`, `orthogonal_`, `delta_orthogonal_`, `recurrent_`, `output_bias_`)
are for papers to be followed to the letter. Nothing here belongs on a model that is trained already.

**What torch has right.** `torch.nn.init.constant_`, `zeros_` and `ones_` for biases and scales of norms; on a weight
matrix a constant gives every unit the same gradient for ever. `normal_`, `uniform_` and `trunc_normal_` for plain
draws: the naive N(0, 0.01²), U(-1/√n, 1/√n) and U(-1/n, 1/n) are `normal_(w, std=0.01)`, `uniform_(w, -n**-0.5,
n**-0.5)` and `uniform_(w, -1/n, 1/n)`. The last two differ by √n in spread, and all three lose the signal within a few
layers: of std 1 in, a layer of n units passes on 0.01·√n, 0.58 and 0.58/√n. `torch.nn.init.xavier_*` and `kaiming_*`
are right for linear layers and ungrouped convolutions.

**What torch has not.** Its `Linear` and convolutions start at variance 1/(3·fan_in), a sixth of what ReLU needs, so
that ten plain ReLU layers pass on nothing. Its fans are wrong for transposed convolutions (swapped) and for the
fan-out of grouped ones: see `fans`. Its orthogonal matrices lose variance where a layer widens. It knows the gain of
six activations; `trainwright.activation.gain` measures that of any.
"""

from .output import output_bias_
from .pretrained import Loaded, load_matching_
from .single import Fans, delta_orthogonal_, fans, orthogonal_, recurrent_, scaled_
from .whole import SkipInit, fixup_, model_, unit_variance_

__all__ = [
    "Fans",
    "Loaded",
    "SkipInit",
    "delta_orthogonal_",
    "fans",
    "fixup_",
    "load_matching_",
    "model_",
    "orthogonal_",
    "output_bias_",
    "recurrent_",
    "scaled_",
    "unit_variance_",
]
