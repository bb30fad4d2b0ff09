import pytest

from .snippets import rules

SICK = {
    "one column in a sequence": """
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Softmax(dim=1))
        loss = F.binary_cross_entropy(net(x), y)
        """,
    "one column in forward": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.out = nn.Linear(8, 1)
            def forward(self, x):
                return F.softmax(self.out(x), dim=-1)
        loss = nn.MSELoss()(Net()(x), y)
        """,
    "over the batch": """
        net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=0))
        for x, y in loader:
            loss = nn.NLLLoss()(net(x), y)
        """,
    "over the batch, functional": """
        for x, y in loader:
            p = torch.softmax(model(x), dim=0)
            loss = F.mse_loss(p, y)
        """,
}
HEALTHY = {
    "over the classes": """
        for x, y in loader:
            p = torch.softmax(model(x), dim=1)
            loss = F.mse_loss(p, y)
        """,
    "a state by itself": """
        p = torch.softmax(model(state), dim=0)
        loss = F.mse_loss(p, y)
        """,
    "attention over the steps": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.score = nn.Linear(8, 1)
                self.out = nn.Linear(8, 1)
            def forward(self, h):
                w = torch.softmax(self.score(h), dim=1)
                return self.out((w * h).sum(1))
        loss = F.mse_loss(Net()(x), y)
        """,
    "a sigmoid of one column": """
        net = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
        loss = F.binary_cross_entropy(net(x), y)
        """,
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["output-activation-mismatch"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
