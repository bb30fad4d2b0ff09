import pytest

from .snippets import rules

SICK = {
    "functional": "loss = F.cross_entropy(F.softmax(model(x), dim=1), y)",
    "over a name": """
        probs = torch.softmax(model(x), dim=-1)
        loss = criterion(probs, y)
        """,
    "a method": "loss = criterion(model(x).softmax(-1), y)",
    "made where it is used": "loss = nn.CrossEntropyLoss(weight=w)(nn.Softmax(dim=1)(model(x)), y)",
    "at the end of a sequence": """
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1)).to("cuda")
        for x, y in loader:
            out = net(x)
            loss = criterion(out, y)
        """,
    "at the end of forward": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 3)
                self.softmax = nn.Softmax(dim=1)
            def forward(self, x):
                return self.softmax(self.fc(x))

        net = Net()
        net = net.to(device)
        loss = criterion(net(x), y)
        """,
    "a loss in a class": """
        class Trainer:
            def __init__(self):
                self.criterion = nn.CrossEntropyLoss()
                self.net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1))
            def step(self, x, y):
                return self.criterion(self.net(x), y)
        """,
    "handed to a function": """
        def train(net, loss_fn, x, y):
            return loss_fn(torch.sigmoid(net(x)).squeeze(1), y)
        train(model, nn.BCEWithLogitsLoss(), x, y)
        """,
    "built by a function": """
        def build():
            return nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
        net = build()
        loss = F.binary_cross_entropy_with_logits(net(x), y)
        """,
}

HEALTHY = {
    "logits": "loss = criterion(model(x), y)",
    "log of it": "loss = criterion(F.log_softmax(model(x), 1), y)",
    "a loss of probabilities": "loss = F.binary_cross_entropy(torch.sigmoid(model(x)), y)",
    "a teacher's targets": "loss = criterion(model(x), F.softmax(teacher(x), dim=1))",
    "probabilities to look at": """
        logits = model(x)
        loss = criterion(logits, y)
        accuracy = (F.softmax(logits, dim=1).argmax(1) == y).float().mean()
        """,
    "only when it predicts": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 3)
            def forward(self, x):
                x = self.fc(x)
                if not self.training:
                    return F.softmax(x, dim=1)
                return x
        net = Net()
        loss = criterion(net(x), y)
        """,
    "attention inside": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.q = nn.Linear(4, 4)
                self.out = nn.Linear(4, 3)
            def forward(self, x):
                a = F.softmax(self.q(x), dim=-1)
                return self.out(a @ x)
        net = Net()
        loss = criterion(net(x), y)
        """,
    "one of two ways": """
        out = model(x)
        if probabilities:
            out = F.softmax(out, dim=1)
        loss = criterion(out, y)
        """,
    "another loss of that name": """
        class Criterion(nn.Module):
            def forward(self, p, y):
                return F.nll_loss(p.log(), y)
        loss = Criterion()(F.softmax(model(x), 1), y)
        """,
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["double-softmax"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
