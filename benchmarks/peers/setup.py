"""Environments of the peers, made from the package registry with pinned versions, apart from the project's.

python -m benchmarks.peers.setup [--environments DIR] [mbi dpmm smartnoise smartnoise_gan]
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
DEFAULT = Path.home() / ".cache" / "dpsynth-benchmarks"


@dataclass(frozen=True)
class Peer:
    """A library in an environment of its own. `granted`: what it takes for granted beyond the stated budget."""

    package: str
    methods: tuple[str, ...]
    granted: str
    environment: Mapping[str, str] = field(default_factory=dict)


PEERS: Mapping[str, Peer] = {
    "mbi": Peer(
        "mbi==2.0.0",
        ("mst", "aim"),
        "nothing; MST and AIM are wired on it here (peers/with_mbi.py), with the total estimated from noisy counts and "
        "compiled without optimisations, which spends less on a first fit",
        {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0"},
    ),
    "dpmm": Peer(
        "dpmm==0.1.9",
        ("mst", "privbayes", "aim"),
        "its preprocessing (an epsilon of its own) is off: the public grid is given to it",
    ),
    "smartnoise": Peer(
        "smartnoise-synth==1.0.8",
        ("mst", "aim"),
        "MST takes the exact number of rows as its total, uncharged; no preprocessing budget: categories are given; "
        "the mbi that it asks for (1.1.0) samples by rounding without shuffling, which ties columns of one parent",
    ),
}

GANS: Mapping[str, Peer] = {
    "smartnoise_gan": Peer(
        "smartnoise-synth==1.0.8",
        ("dpctgan", "dpctgan_small", "patectgan"),
        "its own claim, as it states it; categories are given, without a preprocessing budget; `packaging`, which it needs "
        "and does not ask for, is installed beside it",
    ),
}
"""Generators trained by gradients, beside which `benchmarks/gan.py` runs ours."""


def pins(library: str) -> str:
    """The pinned requirements of a peer."""
    return (HERE / f"{library}.txt").read_text()


def interpreter(library: str, folder: Path) -> Path:
    """The Python of the peer's environment under `folder`; it is made when missing or pinned otherwise."""
    home = folder / library
    python, stamp = home / "bin" / "python", home / "pins.sha256"
    wanted = hashlib.sha256(pins(library).encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        venv.create(home, with_pip=True, clear=True)
        requirements = ["-r", str(HERE / f"{library}.txt")]
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
        subprocess.run(command, check=True)
        stamp.write_text(wanted)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("libraries", nargs="*", default=list(PEERS), choices=[*PEERS, *GANS, []])
    parser.add_argument("--environments", type=Path, default=DEFAULT)
    options = parser.parse_args()
    for library in options.libraries:
        print(library, interpreter(library, options.environments))


if __name__ == "__main__":
    main()
