"""Everything that knows MySQL's and MariaDB's dialect: catalogue, binlog, row decoding, snapshot reads, reverse apply."""
