"""Planners and the memory model."""
