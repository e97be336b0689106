"""Vendor formats as folds over events, one file each. Pure."""
