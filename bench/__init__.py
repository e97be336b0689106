"""Workloads: what a server of streamed answers does all day, measured beside its rivals.

``python -m bench --help``; how to read the figures stands in ``docs/performance.md``.
"""
