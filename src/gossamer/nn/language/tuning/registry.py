"""The named ways of tuning."""

from gossamer.core.registry import Registry

ADAPTERS: Registry = Registry("adapter", "gossamer.nn.language.tuning")
