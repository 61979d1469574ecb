"""Connections to the source and the stores, the one retry policy, driver-error translation and our own tables."""
