"""The nets on which starting weights are compared: plain modules that know of no initialisation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky relu": lambda: nn.LeakyReLU(0.01),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "softsign": nn.Softsign,
    "hardtanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
}


class Sum(nn.Module):
    """x + branch(x)."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.branch(x)
        return y


class Head(nn.Module):
    """The mean over all places, then a linear layer."""

    def __init__(self, width: int, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x.flatten(2).mean(2))
        return y


def mlp(depth: int, activation: str, width: int = 64) -> nn.Module:
    sizes = [64] + [width] * (depth - 1)
    hidden = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), ACTIVATIONS[activation]())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))


def conv(i: int, o: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, size, stride, size // 2, groups=groups)


def plain_cnn(depth: int = 30, width: int = 16) -> nn.Module:
    body = [m for _ in range(depth - 2) for m in (conv(width, width), nn.ReLU())]
    return nn.Sequential(conv(1, width), nn.ReLU(), *body, Head(width))


def resnet_plain(blocks: int = 100, width: int = 16) -> nn.Module:
    """100 residual blocks of two convolutions, no normalisation, half of them at half the resolution."""

    def stage(n: int) -> list[nn.Module]:
        return [Sum(nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width)) for _ in range(n)]

    half = blocks // 2
    return nn.Sequential(
        conv(1, width), *stage(half), nn.AvgPool2d(2), *stage(blocks - half), nn.ReLU(), Head(width)
    )


class Down(nn.Module):
    """A ResNet block with batch norm and a projection shortcut."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.shortcut = (
            nn.Identity()
            if i == o and stride == 1
            else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet_norm() -> nn.Module:
    sizes = [(8, 8, 1)] * 3 + [(8, 16, 2)] + [(16, 16, 1)] * 2 + [(16, 32, 2)] + [(32, 32, 1)] * 2
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 1, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        *(Down(*s) for s in sizes),
        Head(32),
    )


class UNet(nn.Module):
    """Two levels down, two up, skips joined by concatenation; gives back a picture."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width

        def double(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(conv(i, o), nn.ReLU(), conv(o, o), nn.ReLU())

        self.in_, self.down1, self.down2 = double(1, w), double(w, 2 * w), double(2 * w, 4 * w)
        self.up2, self.dec2 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), double(4 * w, 2 * w)
        self.up1, self.dec1 = nn.ConvTranspose2d(2 * w, w, 2, 2), double(2 * w, w)
        self.out = nn.Conv2d(w, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.in_(x)
        b = self.down1(F.max_pool2d(a, 2))
        c = self.down2(F.max_pool2d(b, 2))
        d = self.dec2(torch.cat([self.up2(c), b], 1))
        e = self.dec1(torch.cat([self.up1(d), a], 1))
        y: Tensor = self.out(e)
        return y


class Recurrent(nn.Module):
    """Rows of a picture as a sequence, then a linear layer on the last state."""

    def __init__(self, kind: type[nn.RNNBase], layers: int, both_ways: bool = False, width: int = 48) -> None:
        super().__init__()
        self.rnn = kind(8, width, layers, batch_first=True, bidirectional=both_ways)  # type: ignore[call-arg]
        self.head = nn.Linear(width * (2 if both_ways else 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.rnn(x.squeeze(1))[0].mean(1))
        return y


class Attention(nn.Module):
    """Hand-written causal self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        z: Tensor = self.out(y.transpose(1, 2).reshape(b, t, c))
        return z


class GPT(nn.Module):
    """Pre-norm blocks of attention and a GELU layer; learned places."""

    def __init__(
        self, blocks: int = 48, width: int = 32, vocabulary: int = 17, length: int = 64, tied: bool = False
    ):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        w = width
        self.blocks = nn.Sequential(
            *(
                m
                for _ in range(blocks)
                for m in (
                    Sum(nn.LayerNorm(w), Attention(w, 4)),
                    Sum(nn.LayerNorm(w), nn.Linear(w, 4 * w), nn.GELU(), nn.Linear(4 * w, w)),
                )
            )
        )
        self.norm, self.head = nn.LayerNorm(w), nn.Linear(w, vocabulary, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        y: Tensor = self.head(self.norm(self.blocks(h))).transpose(1, 2)
        return y


class Swap(nn.Module):
    """A module on the transposed last two dimensions."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x.transpose(1, 2)).transpose(1, 2)
        return y


class Mixer(nn.Module):
    """MLP-mixer: 16 patches of 2 x 2, twelve blocks of token and channel mixing."""

    def __init__(self, blocks: int = 12, width: int = 32) -> None:
        super().__init__()
        w, t = width, 16
        self.stem = nn.Conv2d(1, w, 2, 2)
        self.blocks = nn.Sequential(
            *(
                m
                for _ in range(blocks)
                for m in (
                    Sum(nn.LayerNorm(w), Swap(nn.Linear(t, 2 * t), nn.GELU(), nn.Linear(2 * t, t))),
                    Sum(nn.LayerNorm(w), nn.Linear(w, 4 * w), nn.GELU(), nn.Linear(4 * w, w)),
                )
            )
        )
        self.norm, self.head = nn.LayerNorm(w), nn.Linear(w, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.blocks(self.stem(x).flatten(2).transpose(1, 2))).mean(1))
        return y


def autoencoder(width: int = 16) -> nn.Module:
    """Three strided convolutions down to 32 numbers, three transposed ones back."""
    w = width
    return nn.Sequential(
        *(nn.Conv2d(1, w, 3, 1, 1), nn.ReLU(), nn.Conv2d(w, 2 * w, 4, 2, 1), nn.ReLU()),
        *(
            nn.Conv2d(2 * w, 4 * w, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * w, 32),
            nn.Linear(32, 16 * w),
        ),
        *(nn.ReLU(), nn.Unflatten(1, (4 * w, 2, 2)), nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(2 * w, w, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(w, 1, 3, 1, 1)),
    )


def separable(blocks: int = 8, width: int = 32) -> nn.Module:
    """Depthwise and pointwise convolutions in turn, no normalisation."""
    body = [
        m
        for _ in range(blocks)
        for m in (conv(width, width, groups=width), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU())
    ]
    return nn.Sequential(conv(1, width), nn.ReLU(), *body, Head(width))


class Encoder(nn.Module):
    """torch's own transformer encoder on the rows of a picture."""

    def __init__(self, layers: int = 6, width: int = 32, norm_first: bool = False) -> None:
        super().__init__()
        self.stem, self.places = nn.Linear(8, width), nn.Parameter(torch.zeros(1, 8, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(self.stem(x.squeeze(1)) + self.places).mean(1))
        return y


class Dense(nn.Module):
    """x, and a convolution of x beside it."""

    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.conv = conv(i, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, F.relu(self.conv(x))], 1)


def densenet(layers: int = 12, growth: int = 8) -> nn.Module:
    body = [Dense(16 + i * growth, growth) for i in range(layers)]
    return nn.Sequential(conv(1, 16), nn.ReLU(), *body, Head(16 + layers * growth))


class Net(NamedTuple):
    """A net, and what it is trained on."""

    make: Callable[[], nn.Module]
    data: str = "pictures"
    """`vectors`, `pictures`, `same` (give the picture back) or `tokens` (the next of 17 grey levels)."""
    rate: float = 0.01


NETS: dict[str, Net] = {
    "plain CNN, 30 layers": Net(plain_cnn),
    "residual, 100 blocks, no norm": Net(resnet_plain),
    "ResNet-20 with batch norm": Net(resnet_norm),
    "U-Net": Net(UNet, "same"),
    "LSTM, 2 layers": Net(lambda: Recurrent(nn.LSTM, 2), rate=0.05),
    "GRU, both ways": Net(lambda: Recurrent(nn.GRU, 1, True), rate=0.05),
    "RNN (tanh), 2 layers": Net(lambda: Recurrent(nn.RNN, 2), rate=0.05),
    "GPT, 48 blocks": Net(GPT, "tokens"),
    "GPT, 48 blocks, tied": Net(lambda: GPT(tied=True), "tokens"),
    "MLP-mixer, 12 blocks": Net(Mixer),
    "autoencoder, transposed": Net(autoencoder, "same"),
    "depthwise separable": Net(separable),
    "nn.TransformerEncoder": Net(Encoder),
    "the same, norm first": Net(lambda: Encoder(norm_first=True)),
    "DenseNet, 12 layers": Net(densenet),
}
