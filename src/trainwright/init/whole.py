"""A whole model at once, by following its forward pass."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from ._flow.follow import Follow, Step, tensors_in
from ._flow.look import Look
from ._flow.plan import branches, plan
from ._flow.run import borrowed, check
from ._flow.settle import Settle
from .output import bias_for

__all__ = ["SkipInit", "fixup_", "model_", "unit_variance_"]


def model_(
    model: nn.Module, *batch: object, target: Tensor | None = None, generator: torch.Generator | None = None
) -> nn.Module:
    """Give a whole model starting weights that keep signal and gradient at one size through all its layers.

    The forward pass is followed as it really runs, twice. First on noise, to see what stands between two layers and
    where sums join. Then on `batch`, where each weight is drawn and scaled as its layer runs, so that the next already
    sees what it will see. Linear layers, convolutions (grouped, transposed), embeddings, LSTM, GRU and RNN,
    `nn.MultiheadAttention`, and any use of a parameter through `F.linear`, `@`, `addmm` and the like:

    - directions are orthogonal; each layer's output gets std 1, whatever activation, pooling or attention came before;
    - in a long plain run of layers whose activation has a part that is the same for z and -z (ReLU, GELU, SiLU, ELU,
      sigmoid, ...), units come in pairs (w, -w) that the next layer subtracts, which removes that part: ReLU, GELU,
      SiLU and softplus nets of any depth then start linear. Activations that bend at both ends (tanh) get smaller
      inputs the deeper the run, down to std 0.5;
    - the last layer, or norm, of each of the L branches that join a stream is scaled to 1/√L of the stream, the layers
      before it in the branch to no less than std 0.5; terms of other sums get 1/√2 each;
    - recurrent matrices are orthogonal gate by gate, the bias of an LSTM's forget gate is 1; other biases are 0;
    - the model's output gets std 0.55 to 1 and, with `target`, a bias that makes the first predictions right on
      average;
    - a weight shared by several layers is set at its first use; of an embedding that is also the output layer, the norm
      before the output takes the scale. Weight norm keeps its form. Scales of norms become 1, or end a branch.

    Args:
        model: anything callable as `model(*batch)`. Parameters with `requires_grad=False` are left alone.
        batch: what it takes, a few hundred samples of training data; fewer than 16 make the scales noisy.
        target: for a model with one output layer: class ids `(batch,)` or `(batch, places)`; for several labels, or one
            that is yes or no, 0s and 1s of shape `(batch, labels)`; else values to regress on. See `output_bias_`.
        generator: where weights are drawn from; by default torch's own, whose state is as before afterwards, so that
            two calls on models built alike give the same weights.

    Returns:
        `model` itself. Modes, buffers (batch norm's too), `requires_grad`, hooks and random state are as before.

    Warns:
        UserWarning: a weight is used through `einsum`, `nn.Bilinear` or the like, or is computed by the forward pass,
            and was left as it was.

    Raises:
        ValueError: nothing to initialise (no parameters, all frozen, or no layer seen); parameters on `meta`, lazy or
            sharded; a layer's output is constant or not finite; `target` without exactly one output layer that has a
            bias. The model is untouched then.

    Helps: on every net built from scratch; most where it is deep and has neither norms nor skips.
    Harms: a model that is trained already, which it overwrites; weights that must have a form of their own (filters,
        identity) unless they are frozen. A plain run of a hundred softsign layers still has gradients over more
        than two decades.
    Costs: two forward passes, a QR decomposition for each weight, and a copy of the weights.
    Source: Saxe et al. 2014 (orthogonal); Mishkin & Matas 2016 (unit variance; here in one pass); Balduzzi et al., "The
        shattered gradients problem", ICML 2017 (pairs; here for any activation, and only where a run needs them); Zhang
        et al., "Fixup", ICLR 2019 (branches; here scaled, not zero, so that all layers learn from the first step).

    >>> net = nn.Sequential(*(m for _ in range(30) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 10))
    >>> x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))
    >>> out = model_(net, x, target=y)(x)
    >>> bool(0.5 < out.std() < 0.6), bool(nn.functional.cross_entropy(out, y) < 2.6)
    (True, True)
    """
    check(model, "model_()")
    with borrowed(model):
        look, outputs = looked(model, batch)
        plans = plan(look, outputs, draw=True)
        if target is not None:
            heads = [key for key, of_key in plans.items() if of_key.head]
            if len(heads) != 1 or heads[0] not in look.biased:
                raise ValueError(
                    f"model_() got a target, and found {len(heads)} output layers"
                    f"{'' if len(heads) != 1 else ', without a bias'}; it needs one, with a bias to set. Leave "
                    f"`target` out, and call `output_bias_` on the layers yourself."
                )
        settle = Settle(model, plans, generator, draw=True)
        with settle.follow:
            model(*batch)
        tell(settle, "model_()")
        if target is not None and settle.head is not None:
            use, result = settle.head
            assert use.bias is not None
            dim = result.ndim + use.dim
            rest = [d for d in range(result.ndim) if d != dim]
            wanted = bias_for(result.shape[dim], target, dim if target.ndim == result.ndim else None)
            settle.write(use.bias, (wanted - result.detach().float().mean(rest).cpu()).to(use.bias))
    return model


def unit_variance_(model: nn.Module, *batch: object) -> nn.Module:
    """Scale each layer's weight so that its output has unit variance on `batch`: LSUV, in one pass.

    Each layer is scaled as it runs, so that the next one already sees scaled inputs; nothing is repeated. The last
    layer of each of the L branches that join a residual stream is scaled to 1/√L of the stream, which then stays below
    twice its variance. Biases of those layers become 0. Directions stay: start with `orthogonal_`, or use `model_`.

    Args:
        model: anything callable as `model(*batch)`.
        batch: what it takes; the variance is over all of a layer's output, so a few hundred samples do.

    Returns:
        `model` itself. Modes, buffers, hooks and random state are as before.

    Raises:
        ValueError: as `model_`. The model is untouched then.

    Helps: where weights have directions to keep; before training any net without norms.
    Harms: it cannot save ten sigmoid layers, whose outputs are nearly constant: see `model_`. Layers before a norm gain
        nothing.
    Costs: two forward passes (the first only looks where sums are) and a copy of the weights.
    Source: Mishkin & Matas, "All you need is a good init", ICLR 2016, without the repetition (a layer is linear in its
        weight, so one look gives the factor) and without its orthogonal start. Branches and shared weights are ours:
        there, a stream's variance grows with every branch. Shared weights are set at their first use.

    >>> net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    >>> x = torch.randn(256, 8)
    >>> round(unit_variance_(net, x)(x).std().item(), 3)
    1.0
    """
    check(model, "unit_variance_()")
    with borrowed(model):
        look, outputs = looked(model, batch)
        settle = Settle(model, plan(look, outputs, draw=False), None, draw=False)
        with settle.follow:
            model(*batch)
        tell(settle, "unit_variance_()")
    return model


def fixup_(model: nn.Module, *batch: object, generator: torch.Generator | None = None) -> nn.Module:
    """Start a residual net without normalisation by Fixup's rule: branches that are zero at first.

    Weights have He's size; those inside a branch of m layers are multiplied by L^(-1/(2m-2)), L being the number of
    branches, and the last layer of each branch and the output layer are zero. Biases are 0.

    Args:
        model: anything callable as `model(*batch)`, with sums of a stream and branches made from it.
        batch: what it takes; only followed, so a few samples do.
        generator: where weights are drawn from; by default torch's own, whose state is as before afterwards.

    Returns:
        `model` itself. Modes, buffers, hooks and random state are as before.

    Raises:
        ValueError: no branch joins a stream, or as `model_`. The model is untouched then.

    Helps: to train residual nets of hundreds of layers without norms.
    Harms: optimisers that scale a step by the size of a weight (LARS, LAMB, adaptive clipping) never move what is zero.
        At the first step only the output layer gets a gradient. `model_` scales branches instead.
    Costs: one forward pass and one draw.
    Source: Zhang, Dauphin & Ma, "Fixup initialization", ICLR 2019, section 3, rules 1 and 2. Rule 3, scalar biases
        before each layer and one multiplier a branch, changes the architecture: add them in the model.

    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.branch = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
    ...     def forward(self, x):
    ...         return x + self.branch(x)
    >>> net = nn.Sequential(nn.Linear(4, 16), *(Block() for _ in range(100)), nn.Linear(16, 2))
    >>> _ = fixup_(net, torch.randn(8, 4))
    >>> net[1].branch[2].weight.abs().sum().item(), round(net[1].branch[0].weight.std().item(), 3)
    (0.0, 0.035)
    """
    check(model, "fixup_()")
    with borrowed(model):
        look, outputs = looked(model, batch)
        ends, inner = branches(look)
        if not inner:
            raise ValueError(
                "fixup_() found no branch of two or more layers that is added to what it was made from. For a net "
                "without such sums use model_()."
            )
        plans = plan(look, outputs, draw=False)
        settle = Settle(model, plans, generator, draw=True)
        for key, of_key in plans.items():
            share, count = inner.get(key, (1.0, 1))
            of_key.std = (
                0.0 if key in ends or of_key.head else share ** (1 / (count - 1)) if count > 1 else 1.0
            )
        settle.by_fans = True
        with settle.follow:
            model(*batch)
        tell(settle, "fixup_()")
    return model


class SkipInit(nn.Module):
    """A branch times one learned number that starts at zero, so that a residual block starts as the identity.

    Args:
        branch: a module of one input.

    Helps: to train residual nets of any depth without norms: `x + SkipInit(branch)(x)`.
    Harms: at the first step the branch's weights get no gradient, only the number does. Exempt the number from weight
        decay (`groups.decay_groups` does).
    Costs: one multiplication a branch.
    Source: De & Smith, "Batch normalization biases residual blocks towards the identity function", NeurIPS 2020, 4.1;
        the same as ReZero (Bachlechner et al., UAI 2021).

    >>> block = SkipInit(nn.Linear(4, 4))
    >>> x = torch.randn(2, 4)
    >>> torch.equal(x + block(x), x)
    True
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale * self.branch(x)
        return y


def tell(settle: Settle, who: str) -> None:
    """Warn of weights that were used in a way that is not followed."""
    if settle.follow.unread:
        names = [f"`{name}` (used by {by})" for name, by in settle.follow.unread.items()]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        warnings.warn(
            f"{who} left {', '.join(names[:4])}{more} as it was: what is made of a weight there is not followed. Give "
            f"it its values yourself.",
            stacklevel=3,
        )


def looked(model: nn.Module, batch: tuple[object, ...]) -> tuple[Look, list[Step]]:
    """What the first pass shows, and the steps that made the model's outputs."""
    look = Look()
    follow = Follow(model, look)
    with follow:
        result = model(*batch)
    if not look.layers:
        raise ValueError(
            f"The forward pass of {type(model).__name__} used no weight that could be seen: no linear layer, "
            f"convolution, embedding, recurrent layer or attention. A scripted or traced model hides its layers; "
            f"pass the original."
        )
    return look, [follow.steps[t] for t in tensors_in(result) if t in follow.steps]
