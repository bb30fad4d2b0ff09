"""Digits with a small network and nothing wrong, watched until its validation loss no longer falls."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
train, valid = random_split(data, [1400, 397])
model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 14)

for epoch in range(14):
    model.train()
    for x, y in DataLoader(train, batch_size=100, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    with torch.no_grad():
        held_out = [criterion(model(x), y).item() for x, y in DataLoader(valid, batch_size=397)]
    print(f"epoch {epoch}: loss {loss.item():.3f}, held out {held_out[0]:.3f}")
