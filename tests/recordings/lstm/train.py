"""An LSTM reads each digit row by row and names it after the last row; nothing is wrong with it."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class RowReader(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.lstm = nn.LSTM(8, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def forward(self, rows):
        out, _ = self.lstm(rows)
        return self.head(out[:, -1])


torch.manual_seed(0)
digits = load_digits()
rows = torch.tensor(digits.images / 16, dtype=torch.float32)
loader = DataLoader(TensorDataset(rows, torch.tensor(digits.target)), batch_size=64, shuffle=True)
model = RowReader()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(3):
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")
