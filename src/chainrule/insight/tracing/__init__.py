"""What a trace is made of: quantities, the formulas of each kind of part, and what can be made of them."""
