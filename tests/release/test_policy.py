"""An organisation's policy: each rule can refuse, says why and what would help, and is named in the bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.budget import Budget
from dpsynth.errors import AuditError, SchemaError, VerifyError
from dpsynth.release.gate import before_spending, judge
from dpsynth.release.policy import Policy
from dpsynth.schema import Schema

FULL = b"""\
version: 1
name: Rules of the Institute
epsilon: 2
delta: 1.0e-6
promise_epsilon: 3
smallest_unit: person
attacks: [closest record, exact cells]
detects_copied_share: 0.05
origins: [public, once inspected]
approvers: [A data officer, Somebody else]
"""


def test_a_policy_that_is_met(parts: Parts, tmp_path: Path) -> None:
    policy = Policy.from_yaml(FULL)
    written = parts.write(tmp_path / "out", policy=policy)
    gate = json.loads((written.public / "privacy.json").read_text())["gate"]
    assert gate["policy"] == "Rules of the Institute"
    assert gate["organisation"]["sha256"] == hashlib.sha256(FULL).hexdigest()
    assert len(gate["checks"]) == 13
    assert "Rules of the Institute" in (written.public / "sign_here.md").read_text()
    assert release.verify(written).rows == 2000


@pytest.mark.parametrize(
    ("old", "new", "code", "words", "fix"),
    [
        ("epsilon: 2\n", "epsilon: 1.5\n", "A306", "above the policy's 1.5", "--epsilon 1.5"),
        ("delta: 1.0e-6", "delta: 1.0e-9", "A312", "above the policy's 1e-09", "delta: 1e-09"),
        ("promise_epsilon: 3", "promise_epsilon: 2.5", "A313", "promises more", "smaller promise"),
        ("exact cells]", "exact cells, telepathy]", "A307", "'telepathy'", "these ran: 'closest record'"),
        ("share: 0.05", "share: 0.01", "A308", "too weak", "hold out more"),
        ("[public, once inspected]", "[public]", "A310", "'plan'", "public knowledge"),
        ("[A data officer, ", "[", "A311", "approver", "'Somebody else'"),
    ],
)
def test_each_rule_refuses(
    parts: Parts, tmp_path: Path, old: str, new: str, code: str, words: str, fix: str
) -> None:
    text = FULL.decode()
    assert old in text
    policy = Policy.from_yaml(text.replace(old, new, 1).encode())
    with pytest.raises(AuditError) as caught:
        parts.write(tmp_path / "out", policy=policy)
    assert (caught.value.code, caught.value.exit_code) == (f"DPS-{code}", 6)
    assert words in caught.value.problem
    assert fix in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_rows_as_units_can_be_refused() -> None:
    schema = Schema(columns={"ill": {"type": "boolean"}})
    policy = Policy.from_yaml(b"name: P\nsmallest_unit: person\n")
    gate = before_spending(schema, replace(HUMAN, bounds_decided_by="me"), policy, Budget(1.0, 1e-6))
    assert [c.code for c in gate.checks if not c.passed] == ["A309"]
    loose = Policy.from_yaml(b"name: P\n")
    assert before_spending(schema, replace(HUMAN, bounds_decided_by="me"), loose, Budget(1.0, 1e-6)).passed


def test_the_smallest_unit_is_said_as_it_was_declared(parts: Parts) -> None:
    """Which column tells people apart is a person's word: the bundle must not say more than that."""
    policy = Policy.from_yaml(b"name: P\nsmallest_unit: person\n")
    told = str(judge(parts.model.schema, HUMAN, parts.model.receipt, parts.suite, policy).as_json())
    assert "same 'person' are protected" in told.replace('\\"', "'").replace("\\'", "'")


def test_all_refusals_are_said_at_once(parts: Parts) -> None:
    policy = Policy.from_yaml(b"name: P\nepsilon: 0.1\napprovers: [Nobody]\n")
    gate = judge(parts.model.schema, HUMAN, parts.model.receipt, parts.suite, policy)
    with pytest.raises(AuditError, match=r"above the policy's 0.1; the approver"):
        gate.require()


@pytest.mark.parametrize("seen", [None, 0.2])
def test_an_audit_that_sees_too_little(parts: Parts, seen: float | None) -> None:
    policy = Policy.from_yaml(b"name: P\ndetects_copied_share: 0.1\n")
    suite = {**parts.suite, "smallest_copied_share_seen": seen}
    gate = judge(parts.model.schema, HUMAN, parts.model.receipt, suite, policy)
    assert [c.code for c in gate.checks if not c.passed] == ["A308"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"verdict": "VIOLATION"}, "better than the promise"),
        ({"verdict": "INCONCLUSIVE", "knows_held_out_rows": True}, "held-out people"),
        ({"attacks": []}, "no attack ran"),
    ],
)
def test_rows_that_the_model_cannot_have_made_are_refused(
    parts: Parts, found: dict[str, Any], words: str
) -> None:
    gate = judge(parts.model.schema, HUMAN, parts.model.receipt, {**parts.suite, **found})
    [failed] = [check for check in gate.checks if not check.passed]
    assert failed.code == "A305"
    assert words in failed.words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"epsilon: 1\n", "is missing"),
        (b"name: P\nepsilon: 0\n", "out of range"),
        (b"name: P\nepsilom: 1\n", "did you mean 'epsilon'"),
        (b"name: P\nversion: 2\n", "another version"),
        (b"name: P\norigins: [secret]\n", "choices"),
        (b"name: P\nsmallest_unit: galaxy\n", "choices"),
        (b"- 1\n", "key: value"),
    ],
)
def test_a_policy_file_with_a_mistake(text: bytes, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        Policy.from_yaml(text)


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a stricter policy": lambda p: p["gate"]["organisation"]["rules"].update(epsilon=0.5),
    "another approver": lambda p: p["human"].update(approver="Mallory"),
    "a rule less": lambda p: p["gate"]["checks"].pop(0),
    "a rule of the policy less": lambda p: p["gate"]["checks"].pop(),
    "a rule more": lambda p: p["gate"]["checks"].append({"rule": "blessed", "passed": True}),
    "a smaller account in words": lambda p: p["ledger"]["spent_at_release"].update(epsilon=0.1),
    "a rule that failed": lambda p: p["gate"]["checks"][0].update(passed=False),
    "an unknown rule": lambda p: p["gate"]["organisation"]["rules"].update(luck=True),
    "no rules": lambda p: p["gate"].update(checks=[]),
    "a smaller account": lambda p: p["ledger"]["spent_at_release"].update(mu=0.0),
    "a larger account than promised": lambda p: p["ledger"]["spent_at_release"].update(epsilon=5.0),
    "somebody else decided": lambda p: p["bounds"][0].update(decided_by="Mallory"),
    "never inspected": lambda p: p["bounds"][2].update(was=None),
    "a figure for free": lambda p: p["published_figures"].append(
        {"name": "x", "words": "x", "value": 0.0, "low": 0.0, "high": 0.0, "standard_error": 0.1, "sigma_rows": 1.0,
         "rows": 1, "by_column": []}
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ruled(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public folder of a release that met a policy."""
    return parts.write(tmp_path_factory.mktemp("ruled") / "out", policy=Policy.from_yaml(FULL)).public


@pytest.mark.parametrize("name", FORGERIES)
def test_what_the_gate_said_is_checked_again(
    ruled: Path, tmp_path: Path, edit: Callable[..., None], name: str
) -> None:
    public = Path(shutil.copytree(ruled, tmp_path / "public"))
    edit(public / "privacy.json", FORGERIES[name])
    with pytest.raises(VerifyError, match=r"privacy\.json") as caught:
        release.verify(public)
    assert caught.value.code.startswith("DPS-V12")
