"""How `trainwright check` ends a script after its first steps."""


class StopCheck(SystemExit):
    """Enough optimiser steps were seen: raised inside `optimizer.step()`.

    A `SystemExit` of status 0, so that whatever the step runs in, a thread, a spawned process, a rank of
    torchrun, ends in silence and in good order, and a script's own `except Exception` lets it pass.
    """

    def __init__(self, seen: str) -> None:
        super().__init__(seen)
        self.code = 0
