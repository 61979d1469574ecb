"""Everything that knows MySQL's and MariaDB's dialect: catalogue, binlog, decoding, snapshot reads, reverse apply."""
