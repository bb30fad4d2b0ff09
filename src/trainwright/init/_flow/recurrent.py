"""Weights of LSTMs, GRUs and RNNs: how a call holds them, and what each gate's block starts with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .follow import Call, named, tensors_in
from .weights import orthogonal

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
WHOLE = "input hx flat_weights has_biases num_layers dropout training bidirectional batch_first"
PACKED = "input batch_sizes hx flat_weights has_biases num_layers dropout training bidirectional"
CELL = "input hx w_ih w_hh b_ih b_hh"


@dataclass
class Layers:
    """The layers of one call, lowest first; each has a row of weights for each way it is read."""

    call: Call
    gates: int
    rows: list[list[list[Tensor]]]
    """`[layer][way]`, each a list `w_ih, w_hh`, biases, an LSTM's projection."""
    names: str

    @classmethod
    def of(cls, call: Call) -> Layers:
        gates = GATES[call.name.removesuffix("_cell")]
        if call.name.endswith("_cell"):
            got = named(call, CELL)
            return cls(
                call, gates, [[[w for n in CELL.split()[2:] if isinstance(w := got.get(n), Tensor)]]], CELL
            )
        names = PACKED if isinstance(call.args[3], (list, tuple)) else WHOLE
        got = named(call, names)
        flat, count = list(tensors_in(got["flat_weights"])), got["num_layers"]
        assert isinstance(count, int)
        ways = 2 if got["bidirectional"] else 1
        each = len(flat) // (count * ways)
        rows = [flat[i : i + each] for i in range(0, len(flat), each)]
        return cls(call, gates, [rows[i : i + ways] for i in range(0, len(rows), ways)], names)

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def weights(self) -> list[Tensor]:
        return [w for layer in self.rows for row in layer for w in row]

    def input(self, layer: int) -> Tensor:
        """What a layer receives: the call's input, or the output of the layers below."""
        got = named(self.call, self.names)
        if layer == 0:
            return next(tensors_in(got["input"]))
        hx, ways = got["hx"], len(self.rows[0])
        below = [h[: layer * ways] for h in tensors_in(hx)]
        got["hx"] = below[0] if isinstance(hx, Tensor) else tuple(below)
        got["flat_weights"] = [w for rows in self.rows[:layer] for row in rows for w in row]
        got["num_layers"], got["dropout"] = layer, 0.0
        return next(tensors_in(self.call.function(*(got[n] for n in self.names.split() if n in got))))

    def set(self, layer: int, level: float, generator: torch.Generator | None) -> None:
        for row in self.rows[layer]:
            recurrent_weights_(row, self.gates, level, generator)


def recurrent_weights_(
    weights: list[Tensor], gates: int, level: float, generator: torch.Generator | None, forget: float = 1.0
) -> None:
    """Set one layer and direction of a recurrent net: `w_ih, w_hh`, then biases, then an LSTM's projection.

    Each gate's recurrent matrix is orthogonal, its input matrix gives inputs of size `level` variance 1, and the bias
    of an LSTM's forget gate is `forget`.
    """
    size = weights[0].shape[0] // gates
    for matrix, scale in zip(weights[:2], (1 / level if level > 0 else 1.0, 1.0), strict=True):
        for block in matrix.detach().split(size):
            block.copy_(orthogonal(1, block.shape[0], block.shape[1], generator)[0] * scale)
    for rest in weights[2:]:
        if rest.ndim == 2:
            rest.detach().copy_(orthogonal(1, rest.shape[0], rest.shape[1], generator)[0])
        else:
            rest.detach().zero_()
    if gates == 4 and len(weights) > 2 and weights[2].ndim == 1:
        weights[2].detach()[size : 2 * size] = forget  # the gates lie as input, forget, cell, output
