"""The daemon's HTTP server: health, metrics, the routing table, the status as JSON, and a page. Decides nothing."""
