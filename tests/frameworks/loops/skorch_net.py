"""A small classifier trained by skorch, with a schedule and clipping from its callbacks."""

import hashlib

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


def train():
    torch.manual_seed(0)
    np.random.seed(0)
    x = np.random.randn(100, 4).astype("float32")
    y = (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0)
    callbacks = [("rate", LRScheduler("StepLR", step_size=1)), ("clip", GradientNormClipping(1.0))]
    net = NeuralNetClassifier(
        Net,
        criterion=nn.CrossEntropyLoss,
        max_epochs=3,
        lr=0.1,
        batch_size=16,
        iterator_train__shuffle=True,
        callbacks=callbacks,
        verbose=0,
    )
    net.fit(x, y)
    return net.module_


if __name__ == "__main__":
    bits = b"".join(p.detach().numpy().tobytes() for p in train().parameters())
    print("ended", hashlib.sha256(bits + torch.get_rng_state().numpy().tobytes()).hexdigest())
