"""What can be wrong. One file a rule; a rule reads a `Run` and never sees a tensor."""
