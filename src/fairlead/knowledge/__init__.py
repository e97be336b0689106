"""Where sources come from, one file per technology."""
