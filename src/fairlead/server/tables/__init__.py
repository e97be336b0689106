"""The tables of the configuration file: one file for each, with what it may hold and its checks."""
