"""What every test shares. Before Django is loaded, DATA_DIR becomes a temporary folder: no test can reach a developer's data."""

import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="epitaph-tests-")
os.environ["DATA_DIR"] = _folder
for name in ("RELAY_CONFIG", "ADMIN_TOKEN", "CLIENT_KEY", "SECRET_KEY", "REDIS_URL"):
    os.environ.pop(name, None)


def pytest_unconfigure() -> None:
    shutil.rmtree(_folder, ignore_errors=True)
