"""An autoencoder squeezes the digits into eight numbers."""

# In[1]: imports

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
args, unknown = ap.parse_known_args()
torch.manual_seed(args.seed)

# In[2]: data

x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
x = x[torch.randperm(len(x))]
x_train, x_test = x[:1400], x[1400:]

# In[3]: model

encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 8))
decoder = nn.Sequential(nn.Linear(8, 96), nn.ReLU(), nn.Linear(96, 64))
autoencoder = nn.Sequential(encoder, decoder)
optimizer = torch.optim.Adam(autoencoder.parameters(), lr=2e-3)
loss_function = nn.MSELoss()

# In[4]: training

losses = []
for epoch in range(40):
    for i in range(0, len(x_train), 50):
        image = x_train[i : i + 50]
        reconstructed = autoencoder(image)
        loss = loss_function(reconstructed, image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if epoch % 10 == 9:
        print(epoch, losses[-1])
print("first", losses[0], "last", losses[-1])

# In[5]: how much of the variance is kept

with torch.no_grad():
    error = ((autoencoder(x_test) - x_test) ** 2).mean()
    score = 1 - (error / ((x_test - x_train.mean(0)) ** 2).mean()).item()
print(f"score={score:.4f} needs=0.70")
sys.exit(int(score < 0.70))
