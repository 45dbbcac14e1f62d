"""The learners that are trained on synthetic and on real rows, from scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Maker = Callable[[], Any]
"""Makes a fresh estimator with `fit` and `predict` (`predict_proba` for classes)."""


def boosted(categorical: Sequence[bool], seed: int) -> Maker:
    """Boosted trees for classes."""
    return lambda: _Classifier(**_boosting(categorical, seed))


def classifiers(categorical: Sequence[bool], seed: int) -> list[tuple[str, Maker]]:
    """Names and makers; `categorical` says which features hold categories."""
    return [
        ("boosted trees", boosted(categorical, seed)),
        ("random forest", lambda: RandomForestClassifier(**_forest(seed))),
        (
            "logistic regression",
            lambda: make_pipeline(_linear_features(categorical), _Logistic(max_iter=100)),
        ),
    ]


def regressors(categorical: Sequence[bool], seed: int) -> list[tuple[str, Maker]]:
    """Names and makers; `categorical` says which features hold categories."""
    return [
        ("boosted trees", lambda: _Regressor(**_boosting(categorical, seed))),
        ("random forest", lambda: RandomForestRegressor(**_forest(seed))),
        ("linear regression", lambda: make_pipeline(_linear_features(categorical), Ridge())),
    ]


class _Logistic(LogisticRegression):  # type: ignore[misc]
    """Stops after its iterations without a word: it is a yardstick, the same for both kinds of rows."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(x, y, sample_weight)


def _some_value(x: Any) -> Any:
    """Features without any value get one, the same in all rows: there is no threshold to be found in them."""
    empty = np.isnan(x).all(axis=0)
    return np.where(empty, 0.0, x) if empty.any() else x


class _Classifier(HistGradientBoostingClassifier):  # type: ignore[misc]
    """Takes features of which the rows it learns from have no value."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        return super().fit(_some_value(x), y, sample_weight)


class _Regressor(HistGradientBoostingRegressor):  # type: ignore[misc]
    """Takes features of which the rows it learns from have no value."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        return super().fit(_some_value(x), y, sample_weight)


def _boosting(categorical: Sequence[bool], seed: int) -> dict[str, Any]:
    return {
        "max_iter": 40,
        "learning_rate": 0.15,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "categorical_features": list(categorical),
        "random_state": seed,
    }


def _forest(seed: int) -> dict[str, Any]:
    """Categories by their rank in frequency; missing values have a branch of their own."""
    return {"n_estimators": 30, "min_samples_leaf": 10, "max_features": 0.5, "random_state": seed}


def _linear_features(categorical: Sequence[bool]) -> Any:
    """Numbers standardised with a flag for missing ones; categories one column per value."""
    which = np.asarray(categorical, dtype=bool)
    numbers = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler())
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), np.flatnonzero(which)),
        (numbers, np.flatnonzero(~which)),
    )
