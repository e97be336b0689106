"""The closed union of generation events. Pure."""
