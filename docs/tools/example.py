"""docs/example/claims.csv, the made-up table of the how-to pages. `python -m docs.tools.example` writes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "example"
PEOPLE, CITIES = 1000, 40


def table() -> pd.DataFrame:
    """Up to four stays in hospital of each of a thousand people who do not exist."""
    rng = np.random.default_rng(2026)
    stays = rng.choice([1, 2, 3, 4], PEOPLE, p=[0.55, 0.25, 0.15, 0.05])
    person = np.repeat(np.arange(PEOPLE), stays)
    n = len(person)
    age = np.clip(rng.normal(52, 20, PEOPLE), 0, 99).astype(int)[person]
    city = np.minimum(rng.zipf(1.4, PEOPLE), CITIES)[person]
    smoker = (rng.random(PEOPLE) < np.where(age[np.cumsum(stays) - 1] < 60, 0.3, 0.15))[person]
    plan = np.where(age >= 65, "C", np.where(rng.random(n) < 0.6, "A", "B"))
    admitted = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 1460, n), unit="D")
    nights = np.minimum(rng.poisson(2 + age / 25 + 2 * smoker), 30)
    cost = np.round(300 + nights * rng.gamma(20, 30, n) + 400 * (plan == "B"), 2)
    return pd.DataFrame(
        {
            "person": [f"p{number:04d}" for number in person],
            "age": age,
            "sex": np.where(rng.random(PEOPLE) < 0.5, "female", "male")[person],
            "city": [f"city {number:02d}" for number in city],
            "plan": np.where(rng.random(n) < 0.04, "", plan),
            "smoker": np.where(smoker, "yes", "no"),
            "admitted": admitted.strftime("%Y-%m-%d"),
            "discharged": (admitted + pd.to_timedelta(nights, unit="D")).strftime("%Y-%m-%d"),
            "cost": cost,
        }
    )


if __name__ == "__main__":
    table().to_csv(FOLDER / "claims.csv", index=False, lineterminator="\n")
