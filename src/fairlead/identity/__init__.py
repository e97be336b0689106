"""Who the caller is, one file per technology."""
