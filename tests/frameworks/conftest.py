"""The scripts that are watched are run by the tests, not collected with them: they import what may be missing."""

collect_ignore = ["loops"]
