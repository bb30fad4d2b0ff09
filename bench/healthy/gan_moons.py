"""A generative adversarial network learns the shape of two moons."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import make_moons

parser = argparse.ArgumentParser()
parser.add_argument("--batchSize", type=int, default=128)
parser.add_argument("--niter", type=int, default=1500)
parser.add_argument("--nz", type=int, default=8)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--beta1", type=float, default=0.5)
parser.add_argument("--seed", type=int, default=0)
opt = parser.parse_args()
torch.manual_seed(opt.seed)


def real_points(n, seed=None):
    points, _ = make_moons(n, noise=0.05, random_state=seed)
    return (torch.tensor(points, dtype=torch.float32) - torch.tensor([0.5, 0.25])) * 1.5


data = real_points(4000, opt.seed)
netG = nn.Sequential(nn.Linear(opt.nz, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
netD = nn.Sequential(
    nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
)
criterion = nn.BCEWithLogitsLoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
ones, zeros = torch.ones(opt.batchSize, 1), torch.zeros(opt.batchSize, 1)

for i in range(opt.niter):
    # discriminator: real up, fake down
    netD.zero_grad()
    real = data[torch.randint(len(data), (opt.batchSize,))]
    errD_real = criterion(netD(real), ones)
    errD_real.backward()
    fake = netG(torch.randn(opt.batchSize, opt.nz))
    errD_fake = criterion(netD(fake.detach()), zeros)
    errD_fake.backward()
    optimizerD.step()

    # generator: fool the discriminator
    netG.zero_grad()
    errG = criterion(netD(fake), ones)
    errG.backward()
    optimizerG.step()
    if i % 250 == 0:
        print(f"[{i}/{opt.niter}] Loss_D: {(errD_real + errD_fake).item():.4f} Loss_G: {errG.item():.4f}")

# Sliced distance between generated and fresh points, against that of one Gaussian with the data's moments.
with torch.no_grad():
    fresh = real_points(2000, opt.seed + 1)
    made = netG(torch.randn(2000, opt.nz))
    gauss = torch.distributions.MultivariateNormal(fresh.mean(0), fresh.T.cov()).sample((2000,))
    angle = torch.linspace(0, torch.pi, 32)
    axes = torch.stack([angle.cos(), angle.sin()])

    def distance(points):
        return ((points @ axes).sort(0).values - (fresh @ axes).sort(0).values).abs().mean().item()

    print(f"distance {distance(made):.4f}, of a Gaussian {distance(gauss):.4f}")
    # Share of the points that lie near a moon, which is what the Gaussian gets wrong.
    near = (torch.cdist(made, fresh).min(1).values < 0.15).float().mean().item()
    covered = (torch.cdist(fresh, made).min(1).values < 0.15).float().mean().item()
score = min(near, covered)
print(f"score={score:.4f} needs=0.5")
sys.exit(int(score < 0.5))
