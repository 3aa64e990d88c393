"""What the compiler made of a kernel: assembly, PTX, vector widths, registers."""
