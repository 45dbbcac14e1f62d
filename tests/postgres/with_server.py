"""Starts a Postgres of its own on a socket in a temporary folder, runs the tests that need one, and stops it.

python tests/postgres/with_server.py     needs initdb and pg_ctl (Debian: the package postgresql) and the extra databases
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
DRIVER = "adbc_driver_postgresql"


def program(name: str) -> str:
    """Debian keeps them outside of the path."""
    places = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    found = shutil.which(name, path=places)
    if found is None:
        sys.exit(
            f"test-postgres needs a PostgreSQL server, and {name} is not there: install it (Debian, Ubuntu: apt-get install "
            "postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql)"
        )
    return found


def require_driver() -> None:
    if importlib.util.find_spec(DRIVER) is None:
        sys.exit(f"test-postgres needs {DRIVER}: pip install 'dpsynth-audit[databases]'")


def main() -> int:
    require_driver()
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    # Postgres refuses to run as root
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def run(*words: str) -> None:
            subprocess.run(words, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)

        data = str(folder / "data")
        run(initdb, "-D", data, "-U", "tester", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            folder.chmod(0o755)
            address = f"postgresql://tester@/postgres?host={folder}"
            command = [sys.executable, "-m", "pytest", str(TESTS)]
            return subprocess.run(
                command, check=False, env={**os.environ, "DPSYNTH_POSTGRES": address}
            ).returncode
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")


if __name__ == "__main__":
    sys.exit(main())
