"""Channels: what each operator of a traced model states about those that enter and leave it."""

from gossamer.nn.channels.flow import Flow, Read, Weight
from gossamer.nn.channels.tracing import evaluating, export, positional, propagate

__all__ = ["Flow", "Read", "Weight", "evaluating", "export", "positional", "propagate"]
