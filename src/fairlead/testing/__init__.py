"""Supported fakes for Fairlead's tests and its users'."""
