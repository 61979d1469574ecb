"""The examples that we ship can be loaded, and name nothing that the loader does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

import config
from config.load import load_settings, redacted

FOLDER = Path(config.__file__).parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
DSN = "postgresql://u:a-secret@h/d"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_loads(file: Path, tmp_path: Path) -> None:
    for name in ("source_password", "store_dsn", "api_token"):
        (tmp_path / name).write_text(DSN if name == "store_dsn" else "a-secret")
    environment = dict.fromkeys(("CATALOG_DSN", "IDENTITY_DSN", "ORDERS_DSN", "PEOPLE_DSN", "ARCHIVE_DSN"), DSN)
    environment |= {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "CROSSFADE_SOURCE_PASSWORD": "a-secret",
        "CROSSFADE_TOKEN": "a-secret",
    }
    settings = load_settings(file, environment=environment)
    assert "a-secret" not in str(redacted(settings))
    assert settings.source.password.get_secret_value() == "a-secret"
