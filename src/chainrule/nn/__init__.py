"""The mathematics: layers, losses, the network they make, and the proof of its gradient."""
