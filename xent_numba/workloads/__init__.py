"""Named inputs, synthetic and real."""
