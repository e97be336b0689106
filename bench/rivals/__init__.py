"""The servers that Fairlead is measured beside, each doing the same work its own way."""
