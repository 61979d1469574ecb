"""The configuration: frozen models, the loader that gives line and column, logging set-up. Knows no server."""
