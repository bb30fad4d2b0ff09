"""Tests of the rules, on runs made by hand: see `builder`."""
