"""Facts and now to decisions. Pure."""
