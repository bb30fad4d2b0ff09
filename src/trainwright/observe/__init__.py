"""Attach to any PyTorch training without changing it. Importing this imports no torch."""
