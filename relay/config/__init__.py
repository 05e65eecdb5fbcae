"""RELAY_CONFIG: upstreams, routes and client keys declared in a TOML file and applied to the rows by name.

`read` looks at the file alone and finds every mistake that shows there; `apply` turns it into rows, in one transaction
or not at all. A row that the file names takes all its settings from the file, defaults where it is silent; only the
switch `enabled` stays as the operator left it unless the file sets it. Rows that it does not name are left alone.
"""

from relay.config.application import Change, apply
from relay.config.document import ConfigError, Configuration, read

__all__ = ["Change", "ConfigError", "Configuration", "apply", "read"]
