"""Rules that turn source rows into store rows, compiled once into immutable plans. No I/O."""
