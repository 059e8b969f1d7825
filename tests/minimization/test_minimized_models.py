"""Models of other kinds than networks, trained by the same loop."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.optimize import minimize as scipy_minimize
from scipy.stats import multivariate_normal

import theanets

DOUBLE = {"dtype": "float64"}


def test_logistic_regression_is_scikit_learns(rng):
    linear = pytest.importorskip("sklearn.linear_model")
    xs = rng.normal(size=(200, 4))
    ys = (xs @ [1.0, -2, 0.5, 0] + rng.logistic(size=200) > 0.3).astype(int)
    x, y = pt.matrix("x"), pt.lvector("y")
    w, b = pytensor.shared(np.zeros(4), "w"), pytensor.shared(0.0, "b")
    score = x @ w + b
    cost = (pt.softplus(score) - y * score).mean() + pt.sqr(w).sum() / 400
    found = theanets.minimize(
        cost,
        inputs=[x, y],
        train=[xs, ys],
        algo="l-bfgs",
        gradient_tolerance=1e-10,
        monitors={"accuracy": pt.eq(score > 0, y)},
    )
    peer = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(xs, ys)
    np.testing.assert_allclose(w.get_value(), peer.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(b.get_value(), peer.intercept_[0], rtol=1e-4)
    assert found.train["accuracy"] == pytest.approx(peer.score(xs, ys))


def test_matrix_factorization_recovers_a_matrix_of_low_rank(rng):
    true = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 20))
    rows, columns = np.nonzero(rng.random(true.shape) < 0.6)
    i, j, value = pt.lvector("i"), pt.lvector("j"), pt.vector("value")
    u, v = (
        pytensor.shared(rng.normal(size=(n, 2)) / 2, name) for n, name in ((30, "u"), (20, "v"))
    )
    cost = pt.sqr((u[i] * v[j]).sum(axis=1) - value).mean()
    theanets.minimize(
        cost,
        inputs=[i, j, value],
        train={"i": rows, "j": columns, "value": true[rows, columns]},
        learning_rate=0.03,
        batch_size=60,
        epochs=150,
        patience=None,
    )
    # Also where nothing was observed.
    np.testing.assert_allclose(u.get_value() @ v.get_value().T, true, atol=0.05)


def autoencoder(rng):
    """Get a variational autoencoder: its networks, its bound and terms, and what it draws."""
    encoder = theanets.Network([6, (16, "tanh"), 4], loss=None, rng=1, **DOUBLE)
    decoder = theanets.Network([2, (16, "tanh"), 6], loss=None, rng=2, **DOUBLE)
    x = encoder.inputs[0]
    code = encoder.outputs()["out:out"]
    mean, log_std = code[:, :2], code[:, 2:]
    noise = pt.random.shared_rng(np.random.default_rng(3), name="noise")
    following, epsilon = noise.normal(size=mean.shape)
    decoded = decoder.outputs(replace={"in": mean + pt.exp(log_std) * epsilon})["out:out"]
    error = pt.sqr(decoded - x).sum(axis=1) / (2 * 0.1**2)
    kl = (pt.sqr(mean) + pt.exp(2 * log_std) - 1 - 2 * log_std).sum(axis=1) / 2
    return encoder, decoder, x, (error + kl).mean(), kl, {noise: following}


def test_a_variational_autoencoder_of_two_networks(rng):
    data = np.tanh(rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)))
    encoder, decoder, x, cost, kl, updates = autoencoder(rng)
    found = theanets.minimize(
        cost,
        inputs=[x],
        train=[data[:250]],
        valid=[data[250:]],
        learning_rate=0.01,
        epochs=60,
        monitors={"kl": kl},
        updates=updates,
    )
    # The bound without a code: that of the mean of the data.
    plain = ((data - data.mean(axis=0)) ** 2).sum(axis=1).mean() / (2 * 0.1**2)
    assert found.valid["loss"] < plain / 4
    assert found.valid["loss"] < found.history.initial["loss"] / 4
    assert 0.5 < found.valid["kl"] < found.valid["loss"]
    # Both networks have learned, though their parameters have the same names.
    codes = encoder.predict(data)[:, :2]
    assert ((decoder.predict(codes) - data) ** 2).sum(axis=1).mean() < plain * 0.02 / 4
    # What comes of codes that are drawn from the prior looks like data.
    drawn = decoder.predict(rng.normal(size=(500, 2)))
    np.testing.assert_allclose(drawn.std(axis=0), data.std(axis=0), atol=0.25)


def test_a_gaussian_process_whose_mean_is_a_network(rng):
    """The marginal likelihood is SciPy's, and its maximum is that which SciPy finds."""
    xs = np.sort(rng.uniform(-2, 2, size=25))
    ys = np.sin(2 * xs) + rng.normal(size=25) * 0.1
    net = theanets.Regressor([1, (3, "tanh"), 1], rng=3, **DOUBLE)
    log_scales = pytensor.shared(np.log([1.0, 1.0, 0.3]), "log_scales")
    amplitude, length, noise = (pt.exp(log_scales[k]) for k in range(3))
    distance = pt.as_tensor(xs[:, None] - xs)
    covariance = amplitude**2 * pt.exp(-pt.sqr(distance / length) / 2) + noise**2 * pt.eye(25)
    residual = ys - net.outputs(replace={"in": xs[:, None]})["out:out"][:, 0]
    root = pt.linalg.cholesky(covariance)
    white = pt.linalg.solve_triangular(root, residual, lower=True)
    cost = pt.sqr(white).sum() / 2 + pt.log(pt.diagonal(root)).sum() + 25 / 2 * np.log(2 * np.pi)

    def evidence(mean, scales):
        a, s, n = np.exp(scales)
        matrix = a**2 * np.exp(-(((xs[:, None] - xs) / s) ** 2) / 2) + n**2 * np.eye(25)
        return multivariate_normal(mean, matrix).logpdf(ys)

    start = float(cost.eval())
    assert start == pytest.approx(-evidence(net.predict(xs[:, None])[:, 0], log_scales.get_value()))
    # With the network as it is, the scales are those that SciPy finds.
    mean = net.predict(xs[:, None])[:, 0]
    peer = scipy_minimize(lambda s: -evidence(mean, s), log_scales.get_value(), tol=1e-9)
    found = theanets.minimize(cost, log_scales, algo="l-bfgs", gradient_tolerance=1e-7)
    np.testing.assert_allclose(log_scales.get_value(), peer.x, atol=1e-3)
    assert found.train["loss"] == pytest.approx(peer.fun, rel=1e-6)
    # And with the network, which then explains a part, it becomes better.
    both = theanets.minimize(cost, algo="l-bfgs", epochs=20)
    assert both.train["loss"] < found.train["loss"] - 1
    mean = net.predict(xs[:, None])[:, 0]
    assert both.train["loss"] == pytest.approx(-evidence(mean, log_scales.get_value()), rel=1e-6)


def test_the_matrix_of_a_linear_system_from_its_path(rng):
    """By steps of Runge and Kutta in a scan."""
    true = np.array([[-0.1, 2.0], [-2.0, -0.1]])
    times, states = 8, [np.array([1.0, 0.0])]
    step = np.linalg.matrix_power(np.eye(2) + true * (0.1 / 1000), 1000)
    for _ in range(times):
        states.append(step @ states[-1])
    path = np.array(states)
    matrix = pytensor.shared(np.zeros((2, 2)), "matrix")

    def follow(state, matrix):
        def slope(z):
            return matrix @ z

        a = slope(state)
        b = slope(state + 0.05 * a)
        c = slope(state + 0.05 * b)
        d = slope(state + 0.1 * c)
        return state + 0.1 / 6 * (a + 2 * b + 2 * c + d)

    followed = pytensor.scan(
        follow,
        outputs_info=[pt.as_tensor(path[0])],
        non_sequences=[matrix],
        n_steps=times,
        strict=True,
        return_updates=False,
    )
    cost = pt.sqr(followed - path[1:]).mean()
    theanets.minimize(cost, algo="l-bfgs", epochs=40, gradient_tolerance=1e-9)
    np.testing.assert_allclose(matrix.get_value(), true, atol=1e-3)


@pytest.mark.slow
def test_a_neural_ordinary_differential_equation():
    """A network is the slope, in steps of the midpoint rule in a scan; nobody tells it slopes."""
    true = np.array([[-0.1, 2.0], [-2.0, -0.1]])
    step = np.linalg.matrix_power(np.eye(2) + true * (0.1 / 1000), 1000)
    path = np.array([np.linalg.matrix_power(step, k) @ [1.0, 0.0] for k in range(9)])
    net = theanets.Network([2, (6, "tanh"), 2], loss=None, rng=1, **DOUBLE)

    def follow(state, *params):
        def slope(z):
            return net.outputs(replace={"in": z[None]})["out:out"][0]

        return state + 0.1 * slope(state + 0.05 * slope(state))

    followed = pytensor.scan(
        follow,
        outputs_info=[pt.as_tensor(path[0])],
        non_sequences=net.params,
        n_steps=8,
        return_updates=False,
    )
    before = np.abs(net.predict(path) - path @ true.T).max()
    found = theanets.minimize(pt.sqr(followed - path[1:]).mean(), algo="l-bfgs", epochs=40)
    assert found.train["loss"] < 1e-5 and before > 0.5
    np.testing.assert_allclose(net.predict(path), path @ true.T, atol=0.1)


@pytest.mark.slow
def test_an_unknown_coefficient_of_an_equation():
    """A frequency, found with the solution: u'' = -k u, of which some points are known."""
    times = np.linspace(0, 2, 25)[:, None]
    first = dict(size=8, activation="tanh", std_w=2, std_b=2)
    net = theanets.Regressor([1, first, 1], rng=1, **DOUBLE)
    k = pytensor.shared(1.0, "k")
    t = pt.as_tensor(times)
    u = net.outputs(replace={"in": t})["out:out"]
    left = theanets.derivative(u, t, 2) / 9 + k * u / 9
    cost = pt.sqr(left).mean() + pt.sqr(u - np.cos(3 * times)).mean()
    theanets.minimize(cost, algo="l-bfgs", epochs=150, gradient_tolerance=1e-8)
    assert k.get_value() == pytest.approx(9, rel=0.01)
    np.testing.assert_allclose(net.predict(times), np.cos(3 * times), atol=0.01)
