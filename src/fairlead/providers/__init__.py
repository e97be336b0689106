"""Where answers come from, one file per technology."""
