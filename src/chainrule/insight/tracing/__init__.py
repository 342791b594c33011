"""The parts of a trace: quantities, the formulas of layers, losses and optimizers, and the output formats."""
