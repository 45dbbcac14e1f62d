"""How many changes to a signed bundle are found: random bytes, and fifty that mean something.

    python -m benchmarks.bundle_changes RELEASE.public OTHER.public KEY.pub --ledger LEDGER --random 1000

`RELEASE.public`: the public folder of a signed release in csv form that the ledger knows; `OTHER.public`: of another
release of the same people. Copies are changed, never the originals. Exit 1 when a change was missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "release"))

from forgeries import SEMANTIC, Scene, found, random_changes

from dpsynth import release


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("public", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--random", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    key = release.load_public(wanted.key)
    if found(wanted.public, key, wanted.ledger) is not None:
        print("the release is not intact to begin with:", found(wanted.public, key, wanted.ledger))
        return 2
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        copy = Path(shutil.copytree(wanted.public, Path(folder) / "random"))
        missed = random_changes(copy, key, wanted.random, wanted.seed)
        spent = time.process_time() - begin
        print(
            f"{wanted.random - len(missed)} of {wanted.random} random one-byte changes found, file and byte named "
            f"({spent:.0f} CPU-s)"
        )
        missed += semantic(wanted.public, wanted.other, key, wanted.ledger, Path(folder))
    for one in missed:
        print("missed:", one)
    return 1 if missed else 0


def semantic(
    public: Path, other: Path, key: release.PublicKey, ledger: Path | None, folder: Path
) -> list[str]:
    release.generate(folder / "stranger.key", folder / "stranger.pub")
    stranger = release.load_signer(folder / "stranger.key")
    missed = []
    for number, (name, change) in enumerate(SEMANTIC.items()):
        copy = Path(shutil.copytree(public, folder / str(number) / "public"))
        try:
            change(Scene(copy, other, stranger))
        except AssertionError as problem:  # this bundle has nothing to forge there
            print(f"  not applicable here: {name} {problem}")
            continue
        said = found(copy, key, ledger)
        print(f"  {name}: {said}")
        missed += [name] if said is None else []
    print(f"{len(SEMANTIC) - len(missed)} of {len(SEMANTIC)} changes that mean something found")
    return missed


if __name__ == "__main__":
    sys.exit(main())
