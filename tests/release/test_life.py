"""Life after release: what came before is named, what is taken back is known, what is bought is charged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from release_parts import Parts
from typer.testing import CliRunner, Result

from dpsynth import release
from dpsynth.cli.app import app
from dpsynth.errors import AuditError, UsageError, VerifyError
from dpsynth.privacy.ledger import Ledger
from dpsynth.releasing import withdraw


@pytest.fixture
def ledger(parts: Parts, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parts.ledger.parent, tmp_path / "account")) / parts.ledger.name


def dpsynth(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_second_release_names_its_predecessor_and_the_cumulative_cost(
    parts: Parts, ledger: Path, tmp_path: Path
) -> None:
    with Ledger.load(ledger) as account:
        account.record_release("an earlier model", "b" * 64)
        account.record_release("a withdrawn model", "c" * 64)
        account.record_withdrawal("c" * 64, "wrong contact")
        account.charge_external("a table elsewhere", 0.3, 1e-8, tool="pen and paper")
        account.record_release(parts.model.id, "d" * 64)  # of the same model: no predecessor
        standing = release.Standing.of(account, parts.model.id)
    written = parts.write(tmp_path / "out", standing=standing)
    stated = json.loads((written.public / "privacy.json").read_text())["ledger"]
    assert [(p["bundle_id"][0], p["withdrawn"]) for p in stated["predecessors"]] == [
        ("b", False),
        ("c", True),
    ]
    assert stated["spent_at_release"]["epsilon"] > stated["spent_after"]["epsilon"]
    assert stated["spent_at_release"]["epsilon"] <= stated["promise"]["epsilon"]
    card = (written.public / "model_card.md").read_text()
    assert "b" * 64 in card
    assert "withdrawn" in card
    assert (
        f"{stated['spent_at_release']['epsilon']:.4g} of the 3"
        in (written.public / "sign_here.md").read_text()
    )
    assert release.verify(written).rows == 2000


def test_the_same_model_rows_words_and_account_are_the_same_bytes(
    parts: Parts, ledger: Path, tmp_path: Path
) -> None:
    """Releasing the same again, after the first was entered, changes no byte; parquet included."""
    with Ledger.load(ledger) as account:
        trees = []
        for number in range(2):
            standing = release.Standing.of(account, parts.model.id)
            written = parts.write(tmp_path / str(number), form="parquet", standing=standing)
            account.record_release(parts.model.id, written.bundle_id)
            trees.append({p.name: p.read_bytes() for p in written.public.iterdir()})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 12


def test_nothing_is_released_from_an_account_that_was_overspent_since(
    parts: Parts, ledger: Path, tmp_path: Path
) -> None:
    with Ledger.load(ledger) as account:
        account.charge_external("a table elsewhere", 5.0, 1e-8, tool="pen and paper", already_out=True)
        standing = release.Standing.of(account, parts.model.id)
    with pytest.raises(AuditError, match="promise is not kept") as caught:
        parts.write(tmp_path / "out", standing=standing)
    assert caught.value.code == "DPS-A304"
    assert not (tmp_path / "out").exists()


def test_a_withdrawn_release_is_refused_by_whoever_asks_the_ledger(
    bundle: release.Bundle, parts: Parts, ledger: Path
) -> None:
    with Ledger.load(ledger) as account:
        account.record_release(parts.model.id, bundle.bundle_id)
        spent = account.spent()
        assert release.verify(bundle, ledger=ledger).ledger
        with pytest.raises(UsageError, match="no such release"):
            withdraw(account, "f" * 64, "mistaken")
        with pytest.raises(UsageError, match="neither a release nor the id"):
            withdraw(account, "nowhere", "mistaken")
        gone = withdraw(account, str(bundle.root), "the contact has left")
        assert gone.withdrawn == "the contact has left"
        assert account.spent() == spent
        with pytest.raises(UsageError, match="withdrawn before"):
            withdraw(account, bundle.bundle_id[:12], "again")
        assert "withdrawn" in account.lines()[-1].what
    with pytest.raises(VerifyError, match="the contact has left") as caught:
        release.verify(bundle, ledger=ledger)
    assert caught.value.exit_code == 7
    assert release.verify(bundle).words  # without the ledger nobody can know


def test_the_whole_life_on_the_command_line(
    project: Path, rewrite: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """A policy, a key, figures that are paid for, a verification by a stranger, and a withdrawal."""
    out, policy, key = tmp_path / "out", tmp_path / "policy.yaml", tmp_path / "office"
    rewrite("holdout: 0.3}", "holdout: 0.3, publish: {epsilon: 0.2}}")
    rewrite("method: mst", "method: independent")
    policy.write_text("name: House rules\nepsilon: 1\n")
    made = dpsynth("keygen", "-o", key, "--json")
    assert made.exit_code == 0, made.output
    assert dpsynth("keygen", "-o", key).exit_code == 2
    words = ("run", project, "-o", out, "--policy", policy, "--sign", f"{key}.key")
    refused = dpsynth(*words)
    assert refused.exit_code == 6, refused.output
    assert "--epsilon 1" in refused.stderr
    assert not (project.parent / "claims.ledger").exists() or not spent(project)
    done = dpsynth(*words, "--epsilon", 1)
    assert done.exit_code == 0, done.output
    assert "signed by the given key" in done.stdout

    privacy = json.loads((out / "public" / "privacy.json").read_text())
    assert privacy["guarantee"]["epsilon"] <= 1.0
    assert privacy["charges"][-1]["purpose"] == "published column errors"
    [figure] = privacy["published_figures"]
    assert [one["column"] for one in figure["by_column"]] == ["age", "plan", "smoker", "cost"]
    assert 0 <= figure["value"] < 0.3
    assert "Figures against real rows, paid for" in (out / "public" / "model_card.md").read_text()
    assert privacy["gate"]["policy"] == "House rules"

    ledger = project.parent / "claims.ledger"
    asked = ("verify", out / "public", "--key", f"{key}.pub", "--ledger", ledger)
    assert dpsynth(*asked).exit_code == 0
    assert dpsynth("release", "--withdraw", out).exit_code == 2
    assert dpsynth("release", "--withdraw", out, "--why", "wrong", "-o", out).exit_code == 2
    gone = dpsynth("release", "--withdraw", out, "--ledger", ledger, "--why", "wrong contact", "--json")
    assert gone.exit_code == 0, gone.output
    late = dpsynth(*asked)
    assert late.exit_code == 7
    assert "wrong contact" in late.stderr


def spent(project: Path) -> bool:
    with Ledger.load(project.parent / "claims.ledger") as account:
        return any(entry.kind == "reserve" for entry in account.entries)
