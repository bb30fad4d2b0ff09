"""The loss as a function of the weights alone: the same batches, the same noise, the model left as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Batch = TypeVar("Batch")
Loss = Callable[[nn.Module, Batch], Tensor]


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Put back what a forward pass moves (buffers, modes, random states); use kernels with a second derivative."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with ExitStack() as kernels:
        kernels.enter_context(torch.inference_mode(False))
        kernels.enter_context(torch.enable_grad())
        kernels.enter_context(torch.random.fork_rng(devices))
        buffers = Buffers(model)
        # Neither flash attention nor cuDNN's recurrent kernels have a second derivative.
        kernels.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            kernels.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            yield
        finally:
            buffers.put_back()
            for module, training in modes:
                module.training = training
            random.setstate(python)
            np.random.set_state(numpy)


class Buffers:
    """A model's buffers as they were: batch norm's statistics, spectral norm's vectors."""

    def __init__(self, model: nn.Module) -> None:
        self.kept = [
            (module, name, buffer, buffer.clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    @torch.no_grad()
    def put_back(self) -> None:
        for module, name, buffer, value in self.kept:
            module._buffers[name] = buffer
            if not torch.equal(buffer, value):  # writing also counts up the version that autograd looks at
                buffer.copy_(value)


class Objective(Generic[Batch]):
    """The mean loss over batches, and the parameters that it is a function of. Use it inside `still`.

    Vectors are flat: all parameters that require grad, one after the other, in float32 or float64.
    """

    def __init__(
        self,
        who: str,
        model: nn.Module,
        loss: Loss[Batch],
        batches: Iterable[Batch],
        generator: torch.Generator | None,
    ) -> None:
        self.who, self.model, self.loss = who, model, loss
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        check_model(who, model, self.parameters)
        self.batches = listed(who, batches)
        # One of its own: the default one is set back before each loss.
        self.generator = generator or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.seeds: list[int] = torch.randint(2**62, (len(self.batches),), generator=self.generator).tolist()
        self.buffers = Buffers(model)
        wide = any(p.dtype == torch.float64 for p in self.parameters)
        self.dtype = torch.float64 if wide else torch.float32
        self.device = self.parameters[0].device
        self.size = sum(p.numel() for p in self.parameters)
        self._kept: Sequence[Tensor] | None = None
        self._checked = False

    def losses(self) -> Iterator[Tensor]:
        """The loss of each batch, each time from the same random state and the same buffers."""
        for batch, seed in zip(self.batches, self.seeds, strict=True):
            self.buffers.put_back()
            torch.default_generator.manual_seed(seed)
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(seed)
            torch.clear_autocast_cache()  # under the caller's autocast it holds casts of weights that have moved
            yield number(self.who, self.loss(self.model, batch))

    def graphs(self) -> Iterator[Sequence[Tensor]]:
        """Each batch's gradient, with the graph to differentiate it again."""
        if self._kept is not None:
            yield self._kept
            return
        for value in self._finite_losses():
            with self._twice():
                grads = torch.autograd.grad(value, self.parameters, create_graph=True, materialize_grads=True)
                if not self._checked:
                    check_graph(grads)
                    self._checked = True
            if len(self.batches) == 1:
                self._kept = grads
            yield grads

    def gradients(self) -> Iterator[Tensor]:
        """Each batch's gradient, flat."""
        for value in self._finite_losses():
            yield self.flat(torch.autograd.grad(value, self.parameters, materialize_grads=True))

    def gradient(self) -> Tensor:
        """The mean gradient, flat."""
        if len(self.batches) == 1:  # a product is likely to follow: it needs the graph
            return self.flat([g.detach() for grads in self.graphs() for g in grads])
        total = self.zeros()
        for gradient in self.gradients():
            total += gradient
        return total / len(self.batches)

    def product(self, vector: Tensor) -> Tensor:
        """The Hessian of the mean loss times a flat vector."""
        total = self.zeros()
        for grads in self.graphs():
            pairs = [
                (g, v) for g, v in zip(grads, self.parts(vector), strict=True) if g.requires_grad
            ]  # a gradient that depends on no weight has no second derivative
            if not pairs:
                continue
            with self._twice():
                second = torch.autograd.grad(
                    [g for g, _ in pairs],
                    self.parameters,
                    [v for _, v in pairs],
                    retain_graph=self._kept is not None,
                    materialize_grads=True,
                )
            total += self.flat(second)
        if not bool(torch.isfinite(total).all()):
            wrong = next(
                name
                for name, part in zip(self.names, self.parts(total), strict=True)
                if not bool(torch.isfinite(part).all())
            )
            raise ValueError(
                f"{self.who}() got a second derivative that is not finite, first at `{wrong}`. "
                f"Is there a sqrt, a norm or a power of zero in the loss? Add a small constant inside it."
            )
        return total / len(self.batches)

    def zeros(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.dtype, device=self.device)

    def flat(self, tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([t.to(self.device, self.dtype).reshape(-1) for t in tensors])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """A flat vector as one tensor for each parameter, of its shape, dtype and device."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return [v.view_as(p).to(p) for v, p in zip(pieces, self.parameters, strict=True)]

    def normal(self) -> Tensor:
        """A flat vector of independent standard normal numbers, the same on any device."""
        return torch.randn(self.size, generator=self.generator, dtype=self.dtype).to(self.device)

    def signs(self) -> Tensor:
        """A flat vector of independent signs."""
        return (torch.randint(2, (self.size,), generator=self.generator) * 2 - 1).to(self.device, self.dtype)

    def _finite_losses(self) -> Iterator[Tensor]:
        for index, value in enumerate(self.losses()):
            if not bool(torch.isfinite(value)):
                raise ValueError(
                    f"{self.who}() got a loss of {value.item()} on batch {index}; it needs a finite one. "
                    f"Are the weights or the batch not finite?"
                )
            if not value.requires_grad:
                raise ValueError(
                    f"{self.who}() got a loss that depends on no parameter that requires grad. "
                    f"Is it computed under no_grad, detached, or from another model than the one passed in?"
                )
            yield value

    @contextmanager
    def _twice(self) -> Iterator[None]:
        """Say what to do where torch cannot differentiate twice."""
        try:
            yield
        except RuntimeError as error:
            said = str(error).splitlines()[0]
            if not any(
                sign in said for sign in ("is not implemented", "double backward", "differentiate twice")
            ):
                raise
            raise RuntimeError(
                f"{self.who}() needs the loss differentiated twice, and a part of the model cannot: {said} "
                f"Pass the model before torch.compile, and plain torch operations in place of a fused kernel."
            ) from error


def number(who: str, value: object) -> Tensor:
    """The loss, if it is one number."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = (
            f"of shape {tuple(value.shape)}"
            if isinstance(value, Tensor)
            else f"that is a {type(value).__name__}"
        )
        raise ValueError(f"{who}() got a loss {got}; it needs a tensor of one number. Take its mean.")
    return value.reshape(())


def check_graph(grads: Sequence[Tensor]) -> None:
    """Refuse a gradient that went through a function marked @once_differentiable: torch would take it as constant."""
    nodes, seen = [g.grad_fn for g in grads if g.grad_fn is not None], set()
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise RuntimeError(
                "trying to differentiate twice a function that was marked with @once_differentiable"
            )
        nodes += [before for before, _ in node.next_functions if before is not None]


def check_model(who: str, model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Refuse what cannot be measured by one process on its own."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise ValueError(f"{who}() got a DistributedDataParallel model; pass what it wraps, `model.module`.")
    if not parameters:
        raise ValueError(
            f"{who}() got a model without a parameter that requires grad; it needs at least one. "
            f"Call requires_grad_(True) on what you want to measure."
        )
    for p in parameters:
        if hasattr(p, "device_mesh"):
            raise ValueError(
                f"{who}() got sharded parameters (DTensor); pass a model whose weights are whole."
            )
        if p.is_complex():
            raise ValueError(f"{who}() got a parameter of {p.dtype}; it needs real ones.")


def listed(who: str, batches: Iterable[Batch]) -> list[Batch]:
    """The batches as a list; a single one that was not put into a list is refused."""
    given: object = batches
    if not isinstance(given, Iterable) and not hasattr(given, "__getitem__"):
        raise TypeError(
            f"{who}() got a {type(batches).__name__} as `batches`; it takes the model, the loss and the batches, "
            f"in that order."
        )
    lone = isinstance(batches, Tensor | Mapping) or (
        isinstance(batches, tuple) and any(isinstance(item, Tensor) for item in batches)
    )
    if lone:
        raise TypeError(
            f"{who}() got a {type(batches).__name__} as `batches`, which looks like one batch; "
            f"it needs a list of batches. Pass [batch]."
        )
    found = list(batches)
    if not found:
        raise ValueError(f"{who}() got no batches; it needs at least one. Is the loader empty or used up?")
    return found
