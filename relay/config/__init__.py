"""RELAY_CONFIG: upstreams, routes, client keys and prices declared in a TOML file and applied to the rows by name.

`read` looks at the file alone and tells every mistake that shows there; `apply` turns it into rows, in one transaction
or not at all, and tells every mistake that shows against them; `export` writes the rows as such a file. A row that the
file names takes all its settings from the file, defaults where it is silent; only the switch `enabled`, and a secret that
the file does not name, stay as they were. Rows that it does not name are left alone.
"""

from relay.config.application import Change, apply
from relay.config.document import Configuration, read
from relay.config.export import export
from relay.config.mistakes import ConfigError

__all__ = ["Change", "ConfigError", "Configuration", "apply", "export", "read"]
