"""Conformance checks for penalties, losses, structures and solvers."""
