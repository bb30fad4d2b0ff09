"""What the learning rates of lr_range.py are for: sixteen small problems, a second to a minute of training each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F


class Problem(NamedTuple):
    """What is learnt from what, by what."""

    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    steps: int
    batch: int = 32
    held_out: bool = False


def scaled(x: object) -> Tensor:
    """Columns of mean 0 and standard deviation 1."""
    found = torch.as_tensor(np.asarray(x), dtype=torch.float32)
    return (found - found.mean(0)) / (found.std(0) + 1e-6)


def digits() -> tuple[Tensor, Tensor]:
    """1,797 pictures of 8 x 8."""
    x, y = datasets.load_digits(return_X_y=True)
    return torch.as_tensor(x, dtype=torch.float32) / 16, torch.as_tensor(y)


def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients, 10 measures; the target is scaled too."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return scaled(x), scaled(y)[:, None]


def cancer() -> tuple[Tensor, Tensor]:
    """569 tumours, 30 measures, two classes."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return scaled(x), torch.as_tensor(y)


def text() -> tuple[Tensor, Tensor]:
    """Windows of 16 letters of the descriptions in scikit-learn; the next letters are the target."""
    source = "".join(
        load().DESCR for load in (datasets.load_digits, datasets.load_diabetes, datasets.load_wine)
    ).lower()
    letters = {c: i for i, c in enumerate(sorted(set(source)))}
    windows = torch.tensor([letters[c] for c in source]).unfold(0, 17, 8)
    return windows[:, :-1], windows[:, 1:]


def last_letter() -> tuple[Tensor, Tensor]:
    """The letter after a window of 16."""
    x, y = text()
    return x, y[:, -1]


def friedman() -> tuple[Tensor, Tensor]:
    """1,200 points of Friedman's first function, with noise."""
    x, y = datasets.make_friedman1(1200, 8, noise=0.5, random_state=0)
    return scaled(x), scaled(y)[:, None]


def moons() -> tuple[Tensor, Tensor]:
    """Two interleaved half circles."""
    x, y = datasets.make_moons(1200, noise=0.15, random_state=0)
    return scaled(x), torch.as_tensor(y)


def copies() -> tuple[Tensor, Tensor]:
    """Digits squeezed through a bottleneck and drawn again."""
    x, _ = digits()
    return x, x


def sums() -> tuple[Tensor, Tensor]:
    """Sequences of 12 random numbers; their sum, scaled, is the target."""
    x = torch.randn(1500, 12, 1, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1) / 12**0.5


def friedman2() -> tuple[Tensor, Tensor]:
    """1,500 points of Friedman's second function, with noise."""
    x, y = datasets.make_friedman2(1500, noise=50.0, random_state=0)
    return scaled(x), scaled(y)[:, None]


def waves() -> tuple[Tensor, Tensor]:
    """Sequences of 24 noisy values of a sine, a square or a sawtooth of random length and phase; which one it is."""
    draw = torch.Generator().manual_seed(0)
    phase = torch.rand(1500, 1, generator=draw) + torch.arange(24) * (
        0.05 + 0.1 * torch.rand(1500, 1, generator=draw)
    )
    sine = (2 * torch.pi * phase).sin()
    shapes = torch.stack([sine, sine.sign(), 2 * phase.frac() - 1])
    kind = torch.randint(0, 3, (1500,), generator=draw)
    clean = shapes[kind, torch.arange(1500)]
    return (clean + 0.2 * torch.randn(1500, 24, generator=draw))[:, :, None], kind


def sources() -> tuple[Tensor, Tensor]:
    """Windows of 24 letters, and from which of five descriptions in scikit-learn they come."""
    loads = (
        datasets.load_breast_cancer,
        datasets.load_digits,
        datasets.load_diabetes,
        datasets.load_wine,
        datasets.load_iris,
    )
    texts = [load().DESCR.lower()[:3000] for load in loads]
    letters = {c: i for i, c in enumerate(sorted(set("".join(texts))))}
    windows = [torch.tensor([letters[c] for c in text]).unfold(0, 24, 8) for text in texts]
    return torch.cat(windows), torch.cat([torch.full((len(w),), i) for i, w in enumerate(windows)])


class Waves(nn.Module):
    """An LSTM and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


class Sources(nn.Module):
    """A transformer of one block over letters, and the mean of what it gives."""

    def __init__(self, letters: int = 80, width: int = 32) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, width), nn.Embedding(24, width)
        block = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.letter(x) + self.place.weight).mean(1))
        return out


class Letters(nn.Module):
    """A transformer of one block over letters."""

    def __init__(self, letters: int = 80, width: int = 32) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, width), nn.Embedding(16, width)
        block = nn.TransformerEncoderLayer(width, 2, 64, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, letters)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        hidden = self.blocks(self.letter(x) + self.place.weight[: x.shape[1]], mask=mask, is_causal=True)
        out: Tensor = self.head(hidden)
        return out.transpose(1, 2)


class Sums(nn.Module):
    """A GRU and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(x)[0][:, -1])
        return out


class Residual(nn.Module):
    """x + f(norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.f(x)
        return out


def cnn() -> nn.Module:
    """Three convolutions with batch norm."""

    def block(i: int, o: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]

    layers = [*block(1, 12), nn.MaxPool2d(2), *block(12, 24), *block(24, 24)]
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)
    )


def plain_cnn() -> nn.Module:
    """Three convolutions without norm."""
    layers = [nn.Conv2d(1, 16, 3), nn.LeakyReLU(), nn.Conv2d(16, 16, 3), nn.LeakyReLU(), nn.Conv2d(16, 32, 3)]
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.LeakyReLU(), nn.Flatten(), nn.Linear(128, 10)
    )


def grouped_cnn() -> nn.Module:
    """Two convolutions with group norm, and dropout."""
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.SiLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10)
    )


def dense(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    """Linear layers with activations between."""
    layers = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), act())]
    return nn.Sequential(*layers[:-1])


def residual() -> nn.Module:
    """Four residual blocks with layer norm."""
    blocks = [Residual(48) for _ in range(4)]
    return nn.Sequential(nn.Linear(64, 48), *blocks, nn.LayerNorm(48), nn.Linear(48, 10))


def bag() -> nn.Module:
    """The mean of embedded letters, and two layers."""
    return nn.Sequential(nn.EmbeddingBag(80, 32), nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 80))


PROBLEMS = {
    "digits, mlp": Problem(lambda: dense(64, 128, 128, 128, 10), digits, F.cross_entropy, 300),
    "digits, cnn with batch norm": Problem(cnn, digits, F.cross_entropy, 150),
    "digits, residual with layer norm": Problem(residual, digits, F.cross_entropy, 200),
    "digits, autoencoder": Problem(lambda: dense(64, 48, 12, 48, 64, act=nn.Tanh), copies, F.mse_loss, 300),
    "diabetes, mlp": Problem(lambda: dense(10, 64, 64, 1), diabetes, F.mse_loss, 150),
    "cancer, logistic": Problem(lambda: nn.Linear(30, 2), cancer, F.cross_entropy, 200),
    "sums, gru": Problem(Sums, sums, F.mse_loss, 200),
    "letters, transformer": Problem(Letters, text, F.cross_entropy, 200),
    "digits, cnn without norm": Problem(plain_cnn, digits, F.cross_entropy, 200),
    "friedman, tanh mlp": Problem(lambda: dense(8, 64, 64, 64, 1, act=nn.Tanh), friedman, F.mse_loss, 300),
    "letters, bag": Problem(bag, last_letter, F.cross_entropy, 300),
    "moons, gelu mlp": Problem(lambda: dense(2, 64, 64, 2, act=nn.GELU), moons, F.cross_entropy, 200),
    "digits, cnn with group norm": Problem(grouped_cnn, digits, F.cross_entropy, 200, held_out=True),
    "waves, lstm": Problem(Waves, waves, F.cross_entropy, 250, 64, held_out=True),
    "friedman 2, mlp": Problem(
        lambda: dense(4, 128, 128, 1), friedman2, F.smooth_l1_loss, 600, 64, held_out=True
    ),
    "sources, transformer": Problem(Sources, sources, F.cross_entropy, 250, held_out=True),
}
