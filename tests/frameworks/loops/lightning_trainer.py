"""A small classifier trained by Lightning's Trainer."""

import hashlib

import lightning as L
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

    def training_step(self, batch, index):
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def validation_step(self, batch, index):
        x, y = batch
        self.log("valid", F.cross_entropy(self.net(x), y))

    def configure_optimizers(self):
        adam = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [adam], [torch.optim.lr_scheduler.StepLR(adam, 1)]


def data(count):
    x = torch.randn(count, 4)
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def train():
    L.seed_everything(0, verbose=False)
    model = Classifier()
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(data(80), 8, shuffle=True), DataLoader(data(32), 8))
    return model


if __name__ == "__main__":
    bits = b"".join(p.detach().numpy().tobytes() for p in train().parameters())
    print("ended", hashlib.sha256(bits + torch.get_rng_state().numpy().tobytes()).hexdigest())
