"""Policy gradient on a contextual bandit: the loss is nothing but noise around zero, the reward rises."""

import argparse
import sys

import torch
from torch import nn
from torch.distributions import Categorical

CONTEXT, ARMS = 6, 5


def train(policy, preferences, steps, lr):
    optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
    baseline = 0.0
    for step in range(steps):
        context = torch.randn(32, CONTEXT)
        choice = Categorical(logits=policy(context))
        arm = choice.sample()
        reward = pay(context, arm, preferences)
        loss = -(choice.log_prob(arm) * (reward - baseline)).mean() - 0.01 * choice.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline += 0.05 * (reward.mean().item() - baseline)
        if step % 200 == 0:
            print(f"step {step}: reward {reward.mean():.3f}, loss {loss.item():+.3f}")


def pay(context, arm, preferences):
    best = (context @ preferences).argmax(1)
    return (arm == best).float() + 0.5 * torch.randn(len(arm))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    preferences = torch.randn(CONTEXT, ARMS)
    policy = nn.Sequential(nn.Linear(CONTEXT, 32), nn.Tanh(), nn.Linear(32, ARMS))
    train(policy, preferences, steps=1500, lr=5e-3)
    with torch.no_grad():
        context = torch.randn(4000, CONTEXT)
        score = (policy(context).argmax(1) == (context @ preferences).argmax(1)).float().mean().item()
    print(f"score={score:.4f} needs=0.75")
    sys.exit(int(score < 0.75))
