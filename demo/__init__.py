"""The demonstration: a legacy shop with its data and its traffic, moved while it works."""
