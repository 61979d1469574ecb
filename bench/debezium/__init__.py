"""Debezium with its JDBC sink as a peer, where Java is on the PATH and `python -m bench.debezium.fetch` has run."""
