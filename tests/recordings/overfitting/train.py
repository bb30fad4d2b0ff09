"""Eighty digits, some with a wrong label, a large network, and no stop."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
order = torch.randperm(len(labels))
x, y = torch.tensor(images / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]
noisy = y.clone()
noisy[:24] = torch.randint(10, (24,))
train = DataLoader(TensorDataset(x[:80], noisy[:80]), batch_size=40, shuffle=True)
valid = DataLoader(TensorDataset(x[80:480], y[80:480]), batch_size=400)
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(60):
    model.train()
    for xb, yb in train:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        held_out = [criterion(model(xb), yb).item() for xb, yb in valid]
    if epoch % 10 == 9:
        print(f"epoch {epoch}: loss {loss.item():.3f}, held out {held_out[0]:.3f}")
