"""Everything that knows PostgreSQL's dialect: statements, apply, COPY, logical decoding."""
