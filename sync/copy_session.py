"""The connections of one copy worker, opened when needed, closed together when anything on them failed."""

from __future__ import annotations

from typing import Any

from config.settings import SourceSettings
from stores.mysql import MysqlConnection, ServerInfo, connect_source
from stores.postgres import PostgresConnection, connect_store
from sync.copy_board import Job, StoreCopy
from sync.mysql.snapshot import ChunkReader, connect_reader
from sync.mysql.visibility import Reading, Visibility
from sync.postgres.copy import prepare_session
from sync.relay.values import RelayTail


class CopySession:
    """The connections of one worker, opened when needed."""

    def __init__(self, settings: SourceSettings, info: ServerInfo) -> None:
        self._settings = settings
        self.info = info
        self._control: MysqlConnection[Any] | None = None
        self._reader: MysqlConnection[Any] | None = None
        self._stores: dict[str, PostgresConnection] = {}
        self._proven = -1

    @property
    def control(self) -> MysqlConnection[Any]:
        """For questions about the source."""
        if self._control is None:
            self._control = connect_source(self._settings)
        return self._control

    def new_reader(self) -> MysqlConnection[Any]:
        """A further connection for reads; its user closes it."""
        return connect_reader(self._settings, self.info)

    def chunk_reader(self, job: Job) -> ChunkReader:
        """A reader of the job's table."""
        if self._reader is None or not self._reader.open:
            self._reader = self.new_reader()
        return ChunkReader(self._reader, self.info, job.plan.source, job.key)

    def reading(self, low: RelayTail, visibility: Visibility) -> Reading:
        """How this worker has to read so that S is in it; proven once per S and connection."""
        if low.seq <= self._proven:
            return Reading.PLAIN
        reading = visibility.prove(self.control, low.position)
        if reading is Reading.PLAIN:
            self._proven = low.seq
        return reading

    def store(self, store: StoreCopy) -> PostgresConnection:
        """The connection to a store."""
        connection = self._stores.get(store.name)
        if connection is None:
            connection = connect_store(store.dsn, application="crossfade copy")
            prepare_session(connection, f"store {store.name}")
            self._stores[store.name] = connection
        return connection

    def reset(self) -> None:
        """Close everything; what was proven on these connections has to be proven again."""
        self._proven = -1
        for mine in (self._control, self._reader):
            if mine is not None and mine.open:
                mine.close()
        self._control = self._reader = None
        for theirs in self._stores.values():
            theirs.close()
        self._stores.clear()
