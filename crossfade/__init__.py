"""crossfade moves a live MySQL or MariaDB monolith to several PostgreSQL stores. See `crossfade --help`."""
