"""One file here is one implementation and one row of every report."""
