"""Variational autoencoder on the digits, summed losses as in the official example."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F

parser = argparse.ArgumentParser(description="VAE digits")
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data / 16, dtype=torch.float32)
images = images[torch.randperm(len(images))]
train_images, test_images = images[:1400], images[1400:]


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 128)
        self.fc21 = nn.Linear(128, 8)
        self.fc22 = nn.Linear(128, 8)
        self.fc3 = nn.Linear(8, 128)
        self.fc4 = nn.Linear(128, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def train(epoch):
    model.train()
    train_loss = 0
    for data in train_images[torch.randperm(len(train_images))].split(args.batch_size):
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
    print(f"====> Epoch: {epoch} Average loss: {train_loss / len(train_images):.4f}")


def test():
    model.eval()
    with torch.no_grad():
        recon, mu, logvar = model(test_images)
        return loss_function(recon, test_images, mu, logvar).item() / len(test_images)


if __name__ == "__main__":
    for epoch in range(1, args.epochs + 1):
        train(epoch)
        print(f"====> Test set loss: {test():.4f}")
    mean = train_images.mean(0).clamp(1e-3, 1 - 1e-3).expand_as(test_images)
    constant = F.binary_cross_entropy(mean, test_images, reduction="sum").item() / len(test_images)
    score = 1 - test() / constant
    print(f"score={score:.4f} needs=0.05")
    sys.exit(int(score < 0.05))
