"""The way of the data: reader, relay, decode, route, fold, apply, snapshot. Source to stores, and back."""
