"""What the broker, the Connect worker and both connectors are told, as Java properties.

As somebody who knows them would set them for a catch-up: large batches, no replicas, many rows an INSERT, changes of
one row folded before they are written. Binary converters need a schema registry; JSON that carries its schema cost a
fifth of the rate, and in Debezium's envelope more than half. So the records are flat JSON and the sink is told their
schema (KIP-1054). The sink's INSERT by UNNEST cannot write a DATETIME as one, and was no quicker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bench.stage import DATABASE, Stage

HOST = "127.0.0.1"
Properties = Mapping[str, str]
Fields = Mapping[str, Mapping[str, object]]
SOURCE, SINK = "source", "sink"
"""The connectors' names."""
_TABLE = "orders"
_BATCH = "4000"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_KEY: Fields = {"id": {"type": "int64"}}
_VALUE: Fields = {
    **_KEY,
    "customer_id": {"type": "int64"},
    "status": {"type": "string"},
    "currency": {"type": "string"},
    "total": {
        "type": "bytes",
        "name": "org.apache.kafka.connect.data.Decimal",
        "version": 1,
        "parameters": {"scale": "2", "connect.decimal.precision": "12"},
    },
    "items": {"type": "int16"},
    "is_gift": {"type": "int16"},
    "note": {"type": "string", "optional": True},
    "attributes": {"type": "string", "optional": True},
    "placed_at": {"type": "int64", "name": "io.debezium.time.MicroTimestamp", "version": 1},
    "updated_at": {"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1},
}
"""The columns of `bench.orders`, as Debezium gives them."""


def broker(folder: Path, port: int, controller: int) -> Properties:
    """One Kafka node that is its own controller."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(folder / "log"),
        "num.partitions": "1",
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def worker(folder: Path, kafka: int, port: int) -> Properties:
    """Kafka Connect, standalone."""
    return {
        "bootstrap.servers": f"{HOST}:{kafka}",
        "listeners": f"http://{HOST}:{port}",
        "key.converter": _JSON,
        "value.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "offset.storage.file.filename": str(folder / "offsets"),
        "offset.flush.interval.ms": "1000",
        "connector.client.config.override.policy": "All",
    }


def source(stage: Stage, folder: Path) -> Properties:
    """Debezium's connector for MariaDB; it begins with a snapshot."""
    server = stage.source
    return {
        "name": SOURCE,
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": server.host,
        "database.port": str(server.port),
        "database.user": server.user,
        "database.password": server.password,
        "database.server.id": "5400",
        "database.ssl.mode": "disable",
        "topic.prefix": "shop",
        "database.include.list": DATABASE,
        "include.schema.changes": "false",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": str(folder / "history"),
        "bigint.unsigned.handling.mode": "long",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "poll.interval.ms": "50",
        "tombstones.on.delete": "false",
        "transforms": "flat,table",
        "transforms.flat.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.flat.delete.tombstone.handling.mode": "delete-to-tombstone",
        "transforms.table.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.table.regex": r".*\.(.*)",
        "transforms.table.replacement": "$1",
        "producer.override.batch.size": "1000000",
        "producer.override.linger.ms": "20",
        "producer.override.buffer.memory": "134217728",
        "producer.override.compression.type": "lz4",
        "producer.override.acks": "1",
    }


def sink(stage: Stage, database: str) -> Properties:
    """Debezium's JDBC sink; it makes the table."""
    server = stage.store
    return {
        "name": SINK,
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "topics": _TABLE,
        "key.converter": _JSON,
        "key.converter.schema.content": _schema(_KEY),
        "value.converter": _JSON,
        "value.converter.schema.content": _schema(_VALUE),
        "connection.url": f"jdbc:postgresql://{server.host}:{server.port}/{database}?reWriteBatchedInserts=true",
        "connection.username": server.user,
        "connection.password": server.password,
        "collection.name.format": f"{DATABASE}.${{topic}}",
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "schema.evolution": "basic",
        "batch.size": _BATCH,
        "use.reduction.buffer": "true",
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": _BATCH,
        "consumer.override.fetch.min.bytes": "1000000",
        "consumer.override.fetch.max.wait.ms": "100",
        "consumer.override.max.partition.fetch.bytes": "52428800",
    }


def _schema(fields: Fields) -> str:
    described = [{"field": name, "optional": False, **kind} for name, kind in fields.items()]
    return json.dumps({"type": "struct", "optional": False, "fields": described})


def write_properties(file: Path, properties: Properties) -> Path:
    """Write `file` so that only we can read it, for there may be passwords in it."""
    file.touch(mode=0o600)
    file.write_text("".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in properties.items()))
    return file
