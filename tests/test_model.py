"""A fitted model on disk: the same model in another process, and nothing else is accepted."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example import SECRET, small_table

from dpsynth.domain import Domain
from dpsynth.errors import CapacityError, UsageError, VerifyError
from dpsynth.fitting import fit
from dpsynth.measurement import Measurement
from dpsynth.model import FittedModel, fitted
from dpsynth.model.files import ARRAYS, FACTS, INDEX, SCHEMA
from dpsynth.pgm import fit as estimate
from dpsynth.schema import Schema


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    from example import PROJECT

    path = tmp_path_factory.mktemp("model") / "project.yaml"
    path.write_text(PROJECT)
    return fit(small_table(), Schema.load(path), method="mst", epsilon=2.0, delta=1e-6)


@pytest.fixture
def saved(model: FittedModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file and its hash in the index, as a careful forger would."""
    (folder / name).write_bytes(content)
    index = json.loads((folder / INDEX).read_text())
    index["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / INDEX).write_text(json.dumps(index))


def test_the_same_model_comes_back(model: FittedModel, saved: Path) -> None:
    again = FittedModel.load(saved)
    assert again.id == model.id
    assert (again.method, again.schema, again.receipt) == (model.method, model.schema, model.receipt)
    assert (again.releasable, again.domain) == (model.releasable, model.domain)
    for one, two in zip(model.measurements, again.measurements, strict=True):
        assert (one.clique, one.sigma) == (two.clique, two.sigma)
        np.testing.assert_array_equal(one.values, two.values)
    rows = [m.sample(300, np.random.default_rng(7)) for m in (model, again)]
    pd.testing.assert_frame_equal(*rows)


def test_another_process_samples_the_same_rows(model: FittedModel, saved: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from dpsynth.model import FittedModel;"
        "m = FittedModel.load(Path(sys.argv[1]));"
        "sys.stdout.write(m.id + '\\n' + m.sample(300, np.random.default_rng(7)).to_csv(index=False))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )
    ours = model.sample(300, np.random.default_rng(7)).to_csv(index=False)
    assert done.stdout == f"{model.id}\n{ours}"


def test_a_copy_elsewhere_is_the_same_model(model: FittedModel, saved: Path, tmp_path: Path) -> None:
    FittedModel.load(saved).save(tmp_path / "deep" / "er" / "copy")
    for name in (FACTS, SCHEMA):
        assert (saved / name).read_bytes() == (tmp_path / "deep" / "er" / "copy" / name).read_bytes()


def test_the_default_size_is_the_released_total(model: FittedModel) -> None:
    assert len(model.sample(rng=np.random.default_rng(1))) == round(model.generator.total)
    assert len(model.sample(0)) == 0


def test_batches_are_the_rows_of_the_sample(model: FittedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.model.units.BATCH", 100)
    parts = list(model.sample_batches(250, np.random.default_rng(3)))
    assert len(parts) == 3
    assert sum(map(len, parts)) == 250
    frames = pd.concat([part.to_frame() for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(frames, model.sample(250, np.random.default_rng(3)))
    owners = [set(part.to_frame()["person"]) for part in parts]
    assert sum(map(len, owners)) == len(set.union(*owners)), "a unit's rows come in one batch"


def test_rows_of_a_kind(model: FittedModel) -> None:
    asked = "smoker == 'yes' and 18 <= age < 35 and plan is not missing"
    rows = model.sample(2000, np.random.default_rng(4), where=asked)
    assert len(rows) == 2000
    assert ((rows["smoker"] == "yes") & rows["age"].between(18, 34) & rows["plan"].notna()).all()
    everybody = model.sample(200_000, np.random.default_rng(5))
    kind = everybody[
        (everybody["smoker"] == "yes") & everybody["age"].between(18, 34) & everybody["plan"].notna()
    ]
    expected = len(model.sample(rng=np.random.default_rng(6), where=asked))
    assert expected == pytest.approx(model.generator.total * len(kind) / 200_000, rel=0.1, abs=2)
    for plan in "ABC":
        assert (rows["plan"] == plan).mean() == pytest.approx((kind["plan"] == plan).mean(), abs=0.06)


def test_a_kind_of_row_that_there_is_not(model: FittedModel) -> None:
    for asked, code in [("age < 5 and age > 7", "U153"), ("nobody == 1", "U194"), ("age >", "U191")]:
        with pytest.raises(UsageError) as caught:
            model.sample(10, where=asked)
        assert caught.value.code == f"DPS-{code}"


def test_samples_differ_without_a_seed(model: FittedModel) -> None:
    assert not model.sample(200).equals(model.sample(200))


@pytest.mark.parametrize("n", [-1, 2.5, True])
def test_a_size_that_means_nothing_is_refused(model: FittedModel, n: int) -> None:
    with pytest.raises(UsageError, match="rows"):
        model.sample(n)


def test_no_private_value_is_in_the_files(saved: Path) -> None:
    assert all(SECRET.encode() not in file.read_bytes() for file in saved.iterdir())


def test_an_existing_folder_is_left_alone(model: FittedModel, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for taken in (tmp_path / "there", tmp_path / "file"):
        if not taken.exists():
            taken.write_text("mine")
        with pytest.raises(UsageError, match="exists"):
            model.save(taken)
    assert (tmp_path / "file").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"there", "file"}


def test_a_write_that_fails_leaves_nothing(
    model: FittedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("dpsynth.model.files._write", full)
    with pytest.raises(CapacityError, match="disk is full"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [FACTS, SCHEMA, ARRAYS])
def test_any_changed_byte_is_seen(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(bytes(content))
    with pytest.raises(VerifyError) as caught:
        FittedModel.load(saved)
    assert caught.value.code == "DPS-V201"


def changed_facts(saved: Path, change: Callable[[dict[str, object]], None]) -> bytes:
    facts = json.loads((saved / FACTS).read_text())
    change(facts)
    return json.dumps(facts).encode()


def test_a_forged_file_is_not_the_model_of_its_index(saved: Path) -> None:
    rewrite(saved, FACTS, changed_facts(saved, lambda f: f.update(method="aim")))
    with pytest.raises(VerifyError) as caught:
        FittedModel.load(saved)
    assert caught.value.code == "DPS-V206"


@pytest.mark.parametrize("name", [INDEX, FACTS, SCHEMA, ARRAYS])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(VerifyError, match=name):
        FittedModel.load(saved)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(VerifyError):
        FittedModel.load(tmp_path / "nowhere")
    (tmp_path / INDEX).write_text("[1, 2]")
    with pytest.raises(VerifyError):
        FittedModel.load(tmp_path)
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(VerifyError):
        FittedModel.load(tmp_path)
    (tmp_path / INDEX).write_text("not json")
    with pytest.raises(VerifyError):
        FittedModel.load(tmp_path)


def test_a_newer_format_asks_for_an_upgrade(saved: Path) -> None:
    index = json.loads((saved / INDEX).read_text())
    (saved / INDEX).write_text(json.dumps({**index, "format": 2}))
    with pytest.raises(VerifyError, match="newer"):
        FittedModel.load(saved)


def consistent(saved: Path, facts: bytes | None = None, arrays: bytes | None = None) -> None:
    """Forge files and the index's id with them: only the meaning is wrong."""
    from dpsynth.model.files import Stored, _arrays, content_id

    for name, content in ((FACTS, facts), (ARRAYS, arrays)):
        if content is not None:
            rewrite(saved, name, content)
    index = json.loads((saved / INDEX).read_text())
    stored = Stored(
        json.loads((saved / FACTS).read_text()),
        (saved / SCHEMA).read_text(),
        _arrays((saved / ARRAYS).read_bytes(), saved / ARRAYS),
    )
    (saved / INDEX).write_text(json.dumps({**index, "id": content_id(stored)}))


def test_an_unknown_kind_is_refused(saved: Path) -> None:
    consistent(saved, changed_facts(saved, lambda f: f.update(generator={"kind": "oracle", "facts": {}})))
    with pytest.raises(VerifyError) as caught:
        FittedModel.load(saved)
    assert caught.value.code == "DPS-V204"


@pytest.mark.parametrize("field", ["generator", "measurements", "receipt", "method"])
def test_a_model_that_lacks_something_is_refused(saved: Path, field: str) -> None:
    consistent(saved, changed_facts(saved, lambda f: f.pop(field)))
    with pytest.raises(VerifyError) as caught:
        FittedModel.load(saved)
    assert caught.value.code == "DPS-V205"


def test_pickled_arrays_are_never_run(saved: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], dtype=object))
    rewrite(saved, ARRAYS, (tmp_path / "trap.npz").read_bytes())
    with pytest.raises(VerifyError) as caught:
        FittedModel.load(saved)
    assert caught.value.code == "DPS-V210"
    assert not (tmp_path / "sprung").exists()


def test_the_trap_would_spring_in_a_pickle(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "sprung",))

    pickle.loads(pickle.dumps(Trap()))  # noqa: S301
    assert (tmp_path / "sprung").exists()


def test_a_generator_of_another_domain_is_refused(model: FittedModel) -> None:
    other = estimate(Domain.of(x=2), [Measurement(("x",), np.array([3, 4]), 1.0)])
    with pytest.raises(ValueError, match="domain"):
        FittedModel.of(model.schema, other, "mst", model.measurements, model.receipt)


def test_every_kind_is_its_class() -> None:
    assert {kind: c.kind for kind, c in fitted.GENERATORS.items()} == {
        kind: kind for kind in fitted.GENERATORS
    }
