"""The Django project: settings, addresses and the ASGI application that joins gateway, admin and WebSockets."""

from importlib import metadata
from pathlib import Path


def _read_version() -> str:
    """The running version, from pyproject.toml beside the code; `unknown` when it cannot be read."""
    import tomllib

    try:
        text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        try:
            return metadata.version("epitaph")
        except metadata.PackageNotFoundError:
            return "unknown"


VERSION = _read_version()
