"""A model that an earlier training left behind lends its facts to no other."""

import torch
from torch import nn

import trainwright as tw


def train(inputs: int):
    net = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        sgd.zero_grad()
        net(torch.ones(4, inputs)).mean().backward()
        sgd.step()
    return net, sgd


def test_parameters_of_the_same_name_are_described_anew():
    left_behind = train(5)
    with tw.watch() as watch:
        train(3)
    assert left_behind
    assert watch.run().facts["parameters"]["0.weight"]["shape"] == [8, 3]
