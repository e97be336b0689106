"""The load generator, a process of its own: readers that count, and measure what they read."""
