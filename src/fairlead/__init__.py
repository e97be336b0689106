"""Fairlead: an answer is a durable stream, not a connection."""

__version__ = "0.1.0"
