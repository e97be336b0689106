"""The running system without any wire."""
