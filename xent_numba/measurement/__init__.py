"""How long an implementation takes, and on what machine."""
