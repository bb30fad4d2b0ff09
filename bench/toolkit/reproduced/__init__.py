"""Published figures at small scale, one file for each kind."""
