"""What every producer of results shares: where a result comes from, and how it is kept."""
