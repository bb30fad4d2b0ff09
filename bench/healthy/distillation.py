"""A small network learns from a large one: softened probabilities and KL divergence."""

import argparse
import sys
from itertools import pairwise

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def mlp(*sizes):
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fit(model, loss_of, epochs, lr):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        for index in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            loss = loss_of(index)
            loss.backward()
            optimizer.step()
        print(f"  epoch {epoch}: {loss.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--temperature", type=float, default=3.0)
args = parser.parse_args()
torch.manual_seed(args.seed)
digits = load_digits()
order = torch.randperm(len(digits.target))
x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
y = torch.tensor(digits.target)[order]

print("teacher")
teacher = mlp(64, 200, 100, 10)
fit(teacher, lambda i: F.cross_entropy(teacher(x[i]), y[i]), epochs=8, lr=2e-3)
teacher.eval()

print("student")
student = mlp(64, 24, 10)


def distil(index):
    with torch.no_grad():
        soft = F.softmax(teacher(x[index]) / args.temperature, dim=1)
    own = student(x[index])
    kl = F.kl_div(F.log_softmax(own / args.temperature, dim=1), soft, reduction="batchmean")
    return 0.9 * args.temperature**2 * kl + 0.1 * F.cross_entropy(own, y[index])


fit(student, distil, epochs=15, lr=4e-3)
with torch.no_grad():
    score = (student(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.92")
sys.exit(int(score < 0.92))
