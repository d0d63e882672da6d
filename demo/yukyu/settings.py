"""Settings of the application: the process environment first, then the file `.env`."""

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

HERE = Path(__file__).resolve().parent
VERSION = "1.4.0"


def lowered(value: object) -> object:
    """`DATABASE_TYPE=PostgreSQL` is as good as `postgresql`."""
    return value.strip().lower() if isinstance(value, str) else value


def empty_is_none(value: object) -> object:
    """`ACCESS_LOG=` means that there is none."""
    return None if isinstance(value, str) and not value.strip() else value


class Settings(BaseSettings):
    """What the environment decides. Errors never quote a value: URLs carry passwords."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", hide_input_in_errors=True, populate_by_name=True, frozen=True
    )

    database_type: Annotated[Literal["sqlite", "postgresql"], BeforeValidator(lowered)] = "sqlite"
    database_url: SecretStr = SecretStr("sqlite:///./yukyu.db")
    database_encryption_key: SecretStr = Field(description="64 hexadecimal digits")
    db_pool_size: int = Field(default=5, ge=1, le=200)
    db_max_overflow: int = Field(default=10, ge=0, le=400)
    db_pool_timeout: float = Field(default=10, gt=0, description="seconds")
    sqlite_journal: Annotated[Literal["wal", "delete"], BeforeValidator(lowered)] = Field(
        default="wal", validation_alias="YUKYU_SQLITE_JOURNAL"
    )
    sqlite_busy_timeout_ms: int = Field(default=10_000, ge=0, validation_alias="YUKYU_SQLITE_BUSY_TIMEOUT_MS")
    mail_enabled: bool = False
    mail_outbox: Path = Path("./outbox.log")
    access_log: Annotated[Path | None, BeforeValidator(empty_is_none)] = None
    app_log: Annotated[Path | None, BeforeValidator(empty_is_none)] = None
    worker_enabled: bool = True
    worker_interval_seconds: float = Field(default=3, gt=0)

    @model_validator(mode="after")
    def type_and_url_agree(self) -> "Settings":
        """Refuse a half-done switch: starting on the wrong database is worse than not starting."""
        dialect = self.url.get_backend_name()
        if dialect != self.database_type:
            raise ValueError(f"DATABASE_TYPE is {self.database_type}, but DATABASE_URL is a {dialect} URL")
        return self

    @model_validator(mode="after")
    def key_has_256_bits(self) -> "Settings":
        """A short key would only be noticed at the first encrypted row."""
        try:
            length = len(bytes.fromhex(self.database_encryption_key.get_secret_value()))
        except ValueError:
            length = 0
        if length != 32:
            raise ValueError("DATABASE_ENCRYPTION_KEY must be 64 hexadecimal digits")
        return self

    @property
    def url(self) -> URL:
        """The database's URL with its driver named: `postgresql://` alone means another driver in SQLAlchemy 2.1."""
        try:
            url = make_url(self.database_url.get_secret_value())
        except ArgumentError:
            raise ValueError("DATABASE_URL is not a database URL") from None
        if url.drivername in ("postgres", "postgresql"):
            return url.set(drivername="postgresql+psycopg2")
        return url

    @property
    def encryption_key(self) -> bytes:
        """The 32 bytes of the AES key."""
        return bytes.fromhex(self.database_encryption_key.get_secret_value())


def read_settings() -> Settings:
    """Read the settings afresh. Raises pydantic's ValidationError."""
    return Settings(_env_file=os.environ.get("YUKYU_ENV_FILE", ".env"))


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. Bad ones end it with a sentence for each, exit status 2."""
    try:
        return read_settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"yukyu: {name + ': ' if name else ''}{problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
