"""Positions, records and the rules of append and read. Pure."""
