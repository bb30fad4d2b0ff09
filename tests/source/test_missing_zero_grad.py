import pytest

from .snippets import rules

SICK = {
    "a plain loop": """
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        """,
    "zeroed once, before the loop": """
        optimizer.zero_grad()
        for epoch in range(3):
            for x, y in loader:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
        """,
    "a function that is handed the optimiser": """
        def train(net, batches, opt):
            for x, y in batches:
                loss = criterion(net(x), y)
                loss.backward()
                opt.step()

        train(model, loader, optimizer)
        """,
    "backward in a helper": """
        def one(x, y):
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        for x, y in loader:
            print(one(x, y))
        """,
    "a class": """
        class Trainer:
            def __init__(self, net):
                self.net = net
                self.opt = torch.optim.SGD(net.parameters(), lr=0.1)

            def fit(self, batches):
                for x, y in batches:
                    criterion(self.net(x), y).backward()
                    self.opt.step()
        """,
    "mixed precision": """
        scaler = torch.amp.GradScaler()
        for x, y in loader:
            with torch.autocast("cuda"):
                loss = criterion(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        """,
}

HEALTHY = {
    "zeroed first": """
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            criterion(model(x), y).backward()
            optimizer.step()
        """,
    "the model zeroes": """
        for x, y in loader:
            criterion(model(x), y).backward()
            optimizer.step()
            model.zero_grad()
        """,
    "accumulation": """
        for i, (x, y) in enumerate(loader):
            (criterion(model(x), y) / 4).backward()
            if (i + 1) % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()
        """,
    "accumulation over an inner loop": """
        for big in loader:
            optimizer.zero_grad()
            for x, y in big:
                criterion(model(x), y).backward()
            optimizer.step()
        """,
    "an early continue": """
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            if not torch.isfinite(loss):
                continue
            loss.backward()
            optimizer.step()
        """,
    "two optimisers": """
        opt_d = optim.Adam(critic.parameters())
        for x, y in loader:
            opt_d.zero_grad()
            critic(x).mean().backward()
            opt_d.step()
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        """,
    "a closure": """
        lbfgs = optim.LBFGS(model.parameters())
        def closure():
            lbfgs.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            return loss
        for _ in range(20):
            lbfgs.step(closure)
        """,
    "by hand": """
        for x, y in loader:
            criterion(model(x), y).backward()
            optimizer.step()
            for p in model.parameters():
                p.grad = None
        """,
    "one step": """
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        """,
    "a model a round": """
        for seed in range(5):
            net = nn.Linear(3, 1)
            opt = optim.SGD(net.parameters(), lr=0.1)
            net(x).mean().backward()
            opt.step()
        """,
    "a helper zeroes": """
        def update(loss, opt):
            opt.zero_grad()
            loss.backward()
            opt.step()

        for x, y in loader:
            update(criterion(model(x), y), optimizer)
        """,
    "somebody else's helper may": """
        from elsewhere import reset
        for x, y in loader:
            reset(optimizer)
            criterion(model(x), y).backward()
            optimizer.step()
        """,
    "an environment steps, too": """
        for t in range(100):
            state, reward, done, _ = env.step(action)
        """,
    "lightning": """
        class Lit(pl.LightningModule):
            def training_step(self, batch, index):
                return F.cross_entropy(self(batch[0]), batch[1])
            def configure_optimizers(self):
                return optim.Adam(self.parameters())
        """,
    "an engine": """
        for x, y in loader:
            loss = criterion(engine(x), y)
            engine.backward(loss)
            engine.step()
        """,
    "a hook of the trainer's base class": """
        class Trainer(Base):
            def fit(self):
                for x, y in self.loader:
                    self.before_batch()
                    criterion(self.net(x), y).backward()
                    self.optimizer.step()
        """,
}


@pytest.mark.parametrize("text", SICK.values(), ids=SICK)
def test_it_is_found_in(text):
    assert rules(text) == ["missing-zero-grad"]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in(text):
    assert rules(text) == []
