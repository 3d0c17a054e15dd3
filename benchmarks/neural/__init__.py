"""Accuracy against sparsity of small networks, with one budget of steps for every method."""
