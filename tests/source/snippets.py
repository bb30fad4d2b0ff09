"""What the tests of the checks share: snippets as people write them, and what is found in them."""

from textwrap import dedent

from trainwright.source import NAMES, judge, parse

HEAD = """\
import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR
from torch.utils.data import DataLoader, TensorDataset
"""

START = f"""{HEAD}
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters())
loader = DataLoader(data, batch_size=8, shuffle=True)
"""


def findings(text):
    """Everything that all checks find in a source."""
    return [seen.finding for seen in judge(parse("train.py", text), NAMES, NAMES)]


def rules(text, start=START):
    """The rules found in a snippet, each as often as it is found."""
    return [finding.rule for finding in findings(f"{start}\n{dedent(text)}")]
