"""The durable local log of raw binlog events between the reader and the appliers."""
