"""What the tests of the estimators share."""

from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor

FAST = dict(epochs=2, patience=None, random_state=0)
EVERY = [NetClassifier, NetRegressor, NetAutoencoder]


def data(cls, rng, n=40):
    x = rng.normal(size=(n, 5))
    y = {NetClassifier: (x[:, 0] > 0).astype(int), NetRegressor: x[:, :2] @ [1.0, 2.0]}
    return x, y.get(cls)


def output(estimator, x):
    method = "transform" if isinstance(estimator, NetAutoencoder) else "predict"
    return getattr(estimator, "predict_proba", getattr(estimator, method))(x)
