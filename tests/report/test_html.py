"""The HTML report: whole, small, self-contained, escaped, legible, and without error in a real browser."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from trainwright.core import Case, Evidence, Facts, Finding, Rule, Run, Series, Severity, Signal, Where, rule
from trainwright.report.axis import Axis, extremes
from trainwright.report.html import html
from trainwright.report.markup import markdown
from trainwright.signals import (
    accuracy,
    activation_std,
    constant_loss,
    dead_units,
    epoch,
    grad_norm,
    learning_rate,
    loss,
    saturated_units,
    update_ratio,
    valid_accuracy,
    valid_loss,
)

NOBODY = Case(sick=lambda: None, healthy=lambda: None)
SOURCE = {
    str(n): line
    for n, line in enumerate(
        """\
import torch
from torch import nn


class Deep(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        layers = []
        for _ in range(12):
            layers += [nn.Linear(width, width), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(width, 10), nn.Softmax(dim=1))

    def forward(self, x):
        return self.head(self.body(x))


net = Deep()
sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
criterion = nn.CrossEntropyLoss()
""".splitlines(),
        1,
    )
}


@rule(severity=Severity.HARM, needs=(grad_norm,), case=NOBODY)
def fading_gradient(run: Run) -> Iterator[Finding]:
    """Early layers receive almost no gradient.

    ## Why it hurts
    The gradient shrinks with every layer on its way back; the first layers **stay as they were** initialised.

    ## Evidence
    The first layers' gradient is below `ratio` of the last layers'.

    ## What to do
    - **unit-variance-init**: Start with weights that keep the variance from layer to layer.

          for m in net.modules():
              if isinstance(m, nn.Linear):
                  nn.init.xavier_normal_(m.weight)

    ## When it is wrong

    | case | why |
    | --- | --- |
    | frozen layers | on purpose |

    ## Sources
    - Glorot & Bengio, [Understanding the difficulty](https://example.org/glorot10a), AISTATS 2010
    """
    yield Finding(
        "Layers from `body.0` on get 3.2e-09 of the gradient that reaches `head.0`; the loss stays at 2.302",
        evidence=(
            Evidence("gradient of the first layers / of the last", 3.2e-9, 1e-4, "ratio"),
            Evidence("change of the first layers' weights", 4.1e-10, 1e-7, "of their size per step"),
        ),
        where=(run.where("body.0"), run.where("head.0")),
        steps=(40, 479),
        fix="Start the layers from `body.0` to `head.0` with weights that keep the variance of what passes through.",
    )


@rule(severity=Severity.FATAL, case=NOBODY)
def squashed_twice(run: Run) -> Iterator[Finding]:
    """Probabilities go into a loss that takes raw outputs.

    ## Why it hurts
    The loss cannot fall below its floor.
    """
    yield Finding(
        "`cross_entropy` takes raw outputs but gets the result of a softmax: the loss cannot go below 1.46",
        evidence=(Evidence("lowest loss that probabilities allow", 1.4612, 0.0, "nats"),),
        where=(Where("head.1", None, "train.py", 12), Where(None, None, "train.py", 20)),
        steps=(0, 479),
        fix="Give `cross_entropy` what goes into the softmax.",
    )


@rule(severity=Severity.HINT, needs=(learning_rate,), case=NOBODY)
def slow_rate(run: Run) -> Iterator[Finding]:
    """The learning rate is low."""
    yield Finding("The rate falls to 0.0005 while the loss still moves", (), steps=(360, 479))


@rule(
    severity=Severity.HARM,
    needs=(Signal("nowhere", "Never read.", "1", grad_norm.at, grad_norm.read),),
    case=NOBODY,
)
def blind_spot(run: Run) -> Iterator[Finding]:
    """Needs what no run here has."""
    yield from ()


@rule(severity=Severity.HARM, needs=(loss,), case=NOBODY)
def all_is_well(run: Run) -> Iterator[Finding]:
    """Looks at the loss and finds nothing."""
    yield from ()


RULES = (squashed_twice, fading_gradient, slow_rate, blind_spot, all_is_well)


def deep_run() -> Run:
    """A made-up run of twelve tanh layers in which the gradient fades, with a spike and an infinite loss."""
    rng = np.random.default_rng(0)
    steps = np.arange(480)
    sampled = np.unique(np.r_[np.arange(10), np.arange(10, 480, 7)])
    names = ["body", *(f"body.{i}" for i in range(24)), "head", "head.0", "head.1"]
    layers = [*(f"body.{i}" for i in range(0, 24, 2)), "head.0"]
    parameters = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    t = sampled[:, None] / 480
    depth = np.repeat(np.arange(13), 2)[None, :]
    grads = 10 ** (-0.72 * (12 - depth) - 0.3 * t) * rng.lognormal(0, 0.2, (len(sampled), 26))
    spread = 0.9 * 0.62 ** np.arange(13)[None, :] * rng.lognormal(0, 0.05, (len(sampled), 13)) * (1 + 0.3 * t)
    curve = 2.3026 + 0.012 * rng.standard_normal(480) + 0.08 * np.exp(-steps / 40)
    curve[200] = 2.62
    curve[300] = np.inf
    ends = np.arange(59, 480, 60)

    def whole(at: np.ndarray, values: np.ndarray) -> Series:
        return Series(at, ("",), np.asarray(values, np.float32)[:, None])

    rates = 0.05 * 0.5 * (1 + np.cos(np.pi * steps / 480)) + 5e-4
    series = {
        loss: whole(steps, curve),
        valid_loss: whole(ends, 2.3026 + 0.004 * rng.standard_normal(8)),
        constant_loss: whole(sampled, np.full(len(sampled), 2.3022)),
        accuracy: whole(sampled, 0.1 + 0.02 * rng.standard_normal(len(sampled))),
        valid_accuracy: whole(ends, np.full(8, 0.1)),
        learning_rate: Series(steps, ("0", "1"), np.stack([rates, rates / 10], 1).astype(np.float32)),
        epoch: whole(steps, 1 + steps // 60),
        grad_norm: Series(sampled, tuple(parameters), grads.astype(np.float32)),
        update_ratio: Series(sampled, tuple(parameters), (grads * 0.05).astype(np.float32)),
        activation_std: Series(sampled, tuple(layers), spread.astype(np.float32)),
        saturated_units: Series(
            sampled, tuple(layers[:-1]), np.clip(spread[:, :-1] - 0.6, 0, 1).astype(np.float32)
        ),
        dead_units: Series(
            sampled[5:], ("body.0", "body.2"), np.tile(np.float32([0, 0.25]), (len(sampled) - 5, 1))
        ),
    }
    facts = Facts(
        script="train.py",
        argv=["train.py", "--epochs", "8"],
        command="trainwright run train.py --epochs 8",
        started="2026-03-02T10:15:00+00:00",
        finished="2026-03-02T10:15:21+00:00",
        exit_status=0,
        versions={"python": "3.12.4", "torch": "2.13.0", "trainwright": "0.1.0"},
        device="cpu",
        steps=480,
        epochs=8,
        steps_per_epoch=60.0,
        batch_size=64,
        dataset_size=3840,
        shuffled=True,
        modules={
            name: {
                "type": "Sequential"
                if "." not in name
                else "Tanh"
                if int(name.split(".")[1]) % 2
                else "Linear",
                "site": {"file": "train.py", "line": 12 if name.startswith("head") else 10},
                "children": 0,
                "activation": None,
            }
            for name in names
        },
        parameters={
            name: {
                "shape": [32, 32] if name.endswith("weight") else [32],
                "module": name.rpartition(".")[0],
                "trainable": True,
                "dtype": "float32",
                "optimizer": 0,
                "initial_std": 0.03,
                "initial_mean": 0.0,
                "equal_units": False,
                "got_gradient": True,
            }
            for name in parameters
        },
        optimizers=[
            {
                "type": "SGD",
                "site": {"file": "train.py", "line": 19},
                "groups": [{"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0, "parameters": 26}],
                "zero_grad_calls": 480,
                "clip": [],
                "scheduler": "CosineAnnealingLR",
            }
        ],
        given_up=["`torch.compile`d functions of your own were not looked into."],
        own_failures=[],
        overhead={
            "budget": 0.02,
            "own_s": 0.31,
            "startup_s": 0.12,
            "run_s": 20.9,
            "share": 0.0148,
            "sampled": 77,
        },
        sources={"train.py": SOURCE},
    )
    return Run({what.name: values for what, values in series.items()}, facts)


def judged(run: Run) -> tuple[Finding, ...]:
    return tuple(f for r in (squashed_twice, fading_gradient, slow_rate) for f in r(run))
