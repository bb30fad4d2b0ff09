"""A generative adversarial network on two moons: two models and two optimisers, nothing wrong."""

import torch
from sklearn.datasets import make_moons
from torch import nn

torch.manual_seed(0)
points, _ = make_moons(1000, noise=0.05, random_state=0)
real_points = (torch.tensor(points, dtype=torch.float32) - torch.tensor([0.5, 0.25])) * 1.5
generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
critic = nn.Sequential(
    nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
)
criterion = nn.BCEWithLogitsLoss()
critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)

for i in range(60):
    critic.zero_grad()
    criterion(critic(real_points[torch.randint(1000, (64,))]), ones).backward()
    fake = generator(torch.randn(64, 8))
    criterion(critic(fake.detach()), zeros).backward()
    critic_optimizer.step()

    generator.zero_grad()
    fooled = criterion(critic(fake), ones)
    fooled.backward()
    generator_optimizer.step()
    if i % 20 == 0:
        print(f"step {i}: {fooled.item():.3f}")
