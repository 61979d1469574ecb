"""One canonical text per column and one hash per row, in three languages that agree: source SQL, PostgreSQL, Python."""
