"""Session protocols: what comes over a connection as acts upon the engine. Without any I/O."""
