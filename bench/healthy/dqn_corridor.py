"""Q-learning with a replay buffer and a slowly copied target network on a corridor."""

import argparse
import copy
import random
import sys
from collections import deque

import torch
from torch import nn


class Corridor:
    """Nine cells; start in the middle. The right end pays 1, the left end 0.2."""

    length = 9

    def reset(self):
        self.position, self.time = 4, 0
        return self.state()

    def state(self):
        return nn.functional.one_hot(torch.tensor(self.position), self.length).float()

    def step(self, action):
        self.position += 1 if action else -1
        self.time += 1
        reward = {0: 0.2, self.length - 1: 1.0}.get(self.position, 0.0)
        return self.state(), reward, reward > 0 or self.time >= 30


class Agent:
    def __init__(self, gamma=0.9):
        self.q = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 2))
        self.target = copy.deepcopy(self.q).requires_grad_(False)
        self.optimizer = torch.optim.RMSprop(self.q.parameters(), lr=1e-3)
        self.memory = deque(maxlen=2000)
        self.gamma = gamma

    def act(self, state, epsilon):
        if random.random() < epsilon:
            return random.randrange(2)
        with torch.no_grad():
            return self.q(state).argmax().item()

    def learn(self, batch_size=32):
        if len(self.memory) < batch_size:
            return
        states, actions, rewards, following, done = zip(*random.sample(self.memory, batch_size), strict=True)
        q = self.q(torch.stack(states)).gather(1, torch.tensor(actions)[:, None]).squeeze(1)
        with torch.no_grad():
            best = self.target(torch.stack(following)).max(1).values
            goal = torch.tensor(rewards) + self.gamma * best * ~torch.tensor(done)
        loss = nn.functional.smooth_l1_loss(q, goal)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for slow, fast in zip(self.target.parameters(), self.q.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.02)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    env, agent = Corridor(), Agent()
    for episode in range(150):
        state, done = env.reset(), False
        while not done:
            action = agent.act(state, epsilon=max(0.1, 1 - episode / 80))
            following, reward, done = env.step(action)
            agent.memory.append((state, action, reward, following, done))
            state = following
            agent.learn()
        if episode % 30 == 0:
            print(f"episode {episode}: reward {reward}")
    state, done = env.reset(), False
    while not done:
        state, score, done = env.step(agent.act(state, epsilon=0))
    print(f"score={score:.4f} needs=1.0")
    return int(score < 1.0)


if __name__ == "__main__":
    sys.exit(main())
