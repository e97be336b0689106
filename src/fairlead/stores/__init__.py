"""Where streams live, one file per technology."""
