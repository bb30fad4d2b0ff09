"""How `trainwright check` ends a script."""


class StopCheck(BaseException):
    """Enough steps were seen. Not an `Exception`, so that a script's own `except Exception` lets it pass."""
