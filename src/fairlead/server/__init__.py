"""Configuration, composition, routes, lifecycle and telemetry."""
