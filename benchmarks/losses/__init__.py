"""Losses with kinks against linear programmes."""
