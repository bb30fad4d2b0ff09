"""REINFORCE finds the way through a small grid world."""

import argparse
import sys

import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions import Categorical

parser = argparse.ArgumentParser(description="REINFORCE on a 4x4 grid")
parser.add_argument("--gamma", type=float, default=0.95)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--episodes", type=int, default=500)
args = parser.parse_args()
torch.manual_seed(args.seed)

SIZE, GOAL, LIMIT = 4, (3, 3), 20
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def observe(cell):
    state = torch.zeros(SIZE * SIZE)
    state[cell[0] * SIZE + cell[1]] = 1
    return state


def move(cell, action):
    row, col = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    cell = min(max(row, 0), SIZE - 1), min(max(col, 0), SIZE - 1)
    return cell, (1.0 if cell == GOAL else -0.05), cell == GOAL


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(SIZE * SIZE, 32)
        self.affine2 = nn.Linear(32, 4)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        return torch.softmax(self.affine2(torch.relu(self.affine1(x))), dim=-1)


policy = Policy()
optimizer = optim.Adam(policy.parameters(), lr=1e-2)


def select_action(state):
    m = Categorical(policy(state))
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode():
    R, returns = 0.0, []
    for r in policy.rewards[::-1]:
        R = r + args.gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - 0.2) / 0.5  # a fixed baseline
    loss = sum(-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns, strict=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]


def play(greedy):
    cell = (0, 0)
    for t in range(1, LIMIT + 1):  # noqa: B007
        state = observe(cell)
        if greedy:
            with torch.no_grad():
                action = policy(state).argmax().item()
        else:
            action = select_action(state)
        cell, reward, done = move(cell, action)
        policy.rewards.append(reward)
        if done:
            break
    return t


for i_episode in range(args.episodes):
    t = play(greedy=False)
    finish_episode()
    if i_episode % 100 == 0:
        print(f"Episode {i_episode}\tLength: {t}")

steps = play(greedy=True)  # the shortest way takes six moves
score = 6 / steps
print(f"score={score:.4f} needs=0.75")
sys.exit(int(score < 0.75))
