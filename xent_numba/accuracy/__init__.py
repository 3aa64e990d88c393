"""How far a result is from the true value."""
