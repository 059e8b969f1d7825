"""Scripts in the manner of theanets 0.6 to 0.8 run as they are.

Only the data are small, and ``theano.tensor`` is ``pytensor.tensor``.
"""

import sys

import numpy as np
import pytensor
import pytest

SCRIPTS = {}


def script(source):
    """Keep a script by its first line, a comment."""
    title, _, _ = source.strip().partition("\n")
    SCRIPTS[title.lstrip("# ")] = source


script("""
# a denoising autoencoder of digits, with a command line
import argparse
import logging
import numpy as np
import theanets

logging.basicConfig(level=logging.WARNING)

parser = argparse.ArgumentParser()
parser.add_argument('--features', type=int, default=4, metavar='N')
args = parser.parse_args()


def load():
    digits = np.random.RandomState(3).uniform(0, 1, (60, 16)).astype('f')
    return digits[:50], digits[50:]


train, valid = load()
N = args.features

exp = theanets.Experiment(
    theanets.Autoencoder,
    layers=(16, (N * N, 'sigmoid'), ('tied', 16)),
    rng=13,
)
before = exp.network.score(valid)
exp.train([train], [valid],
          algo='rmsprop',
          input_noise=0.1,
          weight_l2=0.0001,
          momentum=0.5,
          learning_rate=0.01,
          max_updates=30,
          patience=3,
          min_improvement=0.001)

w = exp.network.find('hid1', 'w').get_value()
v = exp.network.encode(valid)
assert w.shape == (16, N * N) and v.shape == (10, N * N)
assert exp.network.find(1, 0) is exp.network.find('hid1', 'w')
assert exp.network.decode(v).shape == valid.shape
assert exp.network.score(valid) > before
exp.save('digits.pkl')
again = theanets.Experiment('digits.pkl')
assert np.allclose(again.network.predict(valid), exp.network.predict(valid))
""")

script("""
# a deep autoencoder, trained layer by layer and then as a whole
import numpy as np
import theanets

train = np.random.RandomState(1).randn(64, 12).astype('f')
net = theanets.Autoencoder(
    layers=(12, (8, 'tanh'), (4, 'tanh'), (8, 'tied', 'tanh'), (12, 'tied')), rng=2)
net.train([train], algo='layerwise', subalgo='sgd', patience=1, train_batches=2,
          max_updates=4, learning_rate=0.01)
print('layerwise done')
for tm, vm in net.itertrain([train], algo='nag', momentum=0.9, learning_rate=0.01,
                            save_progress='deep-{}.pkl.gz', save_every=2, validate_every=2,
                            max_updates=8, hidden_l1=0.001):
    print('{loss:.3f} {err:.3f}'.format(**tm), vm['loss'])

import glob
saved, = set(glob.glob('deep-*.pkl.gz')) and [sorted(glob.glob('deep-*.pkl.gz'))[-1]]
assert np.allclose(theanets.Autoencoder.load(saved).predict(train), net.predict(train))
assert net.encode(train, 'hid2').shape == (64, 4)
""")

script("""
# the memory task of a recurrent network
import numpy as np
import numpy.random as rng
import theanets

TIME = 10
BITS = 3
BATCH_SIZE = 8

mask = np.ones((BATCH_SIZE, TIME, 1), bool)
mask[:, :TIME - BITS] = 0


def generate():
    s, t = rng.randn(2, BATCH_SIZE, TIME, 1).astype('f')
    s[:, :BITS] = t[:, -BITS:] = rng.randn(BATCH_SIZE, BITS, 1)
    return s, t, mask


src, tgt, msk = generate()
net = theanets.recurrent.Regressor(
    layers=(1, dict(form='rnn', activation='relu', size=6, diagonal=1), 1),
    weighted=True)

net.train(generate,
          batch_size=BATCH_SIZE,
          algorithm='rmsprop',
          max_gradient_norm=1,
          learning_rate=0.001,
          momentum=0.9,
          train_batches=3,
          valid_batches=2,
          max_updates=6,
          monitor_gradients=True)

out = net.predict(src)[:, :, 0].T
assert out.shape == (TIME, BATCH_SIZE)
""")

script("""
# text, character by character
import numpy as np
import theanets

txt = theanets.recurrent.Text('the quick brown fox jumps over the lazy dog. ' * 8, min_count=5)
A = 1 + len(txt.alpha)
for layer in (dict(form='rnn', activation='sigmoid'), dict(form='gru', activation='sigmoid'),
              dict(form='scrn', activation='linear'), dict(form='lstm'),
              dict(form='mrnn', activation='sigmoid', factors=len(txt.alpha)),
              dict(form='clockwork', activation='linear', periods=(1, 2, 4))):
    layer.update(size=9)
    net = theanets.recurrent.Classifier([A, layer, (12, 'relu'), A])
    seed = txt.encode(txt.text[30:40])
    losses = []
    for i, (tm, _) in enumerate(net.itertrain(txt.classifier_batches(6, 4), momentum=0.9,
                                              train_batches=2, min_improvement=0.99,
                                              validate_every=5, patience=0, algo='rmsprop',
                                              learning_rate=0.0001)):
        print('{}|{} ({:.1f}%)'.format(txt.decode(seed),
                                       txt.decode(net.predict_sequence(seed, 5)),
                                       100 * tm['acc']))
        losses.append(tm['loss'])
        if i == 1:
            break
    assert np.isfinite(losses).all()
""")

script("""
# independent components by a regularizer of one's own
import numpy as np
import theanets


class InverseWeights(theanets.Regularizer):
    def loss(self, layers, outputs):
        return sum((1 / (w * w).sum(axis=0)).sum()
                   for l in layers for w in l.params
                   if w.ndim > 1)


train = np.random.RandomState(1).randn(80, 9).astype('f')
train -= train.mean(axis=0)
vals, vecs = np.linalg.eigh(np.dot(train.T, train) / len(train))


def whiten(x):
    return np.dot(x, np.dot(vecs, np.diag(1. / np.sqrt(vals))))


net = theanets.Autoencoder([9, (16, 'linear'), (9, 'tied')])
tm, vm = net.train(whiten(train), whiten(train),
                   hidden_l1=0.5,
                   inverseweights=1e-6,
                   train_batches=3,
                   max_updates=6,
                   monitors={'hid1:out': (-0.9, -0.1, 0.1, 0.9)})
assert 0 <= tm['hid1:out<-0.9'] <= tm['hid1:out<0.9'] <= 1, tm
""")

script("""
# a layer, an activation and a loss of one's own
import numpy as np
import pytensor
import pytensor.tensor as TT
import theanets
from theanets import util
from theanets.layers import base


class Highway(base.Layer):
    __extra_registration_keys__ = ['hw']

    def __init__(self, bias=-1., **kwargs):
        super(Highway, self).__init__(**kwargs)
        self.bias = bias

    def setup(self):
        for name in 'wt':
            self.add_weights(name, self.input_size, self.output_size)
        self.add_bias('b', self.output_size)
        self.add_bias('bt', self.output_size, mean=self.bias, std=0)

    def transform(self, inputs):
        x = inputs[self.input_name]
        gate = TT.sigmoid(TT.dot(x, self.find('t')) + self.find('bt'))
        pre = TT.dot(x, self.find('w')) + self.find('b')
        return dict(pre=pre, gate=gate, out=gate * self.activate(pre) + (1 - gate) * x), []


class Swishy(theanets.Activation):
    def __init__(self, *args, **kwargs):
        super(Swishy, self).__init__(*args, **kwargs)
        self.beta = pytensor.shared(
            np.ones(self.layer.output_size, util.FLOAT), name=self.layer._fmt('beta'))
        self.params.append(self.beta)

    def __call__(self, x):
        return x * TT.sigmoid(self.beta * x)


class Stairs(theanets.Loss):
    def __call__(self, outputs):
        step = outputs[self.output_name] - self._target
        if self._weights is not None:
            return (self._weights * abs(step)).sum() / self._weights.sum()
        return abs(step).mean()


r = np.random.RandomState(1)
x, y = r.randn(40, 5).astype('f'), r.randn(40, 2).astype('f')
net = theanets.Regressor([5, (5, 'hw', 'swishy'), dict(form='highway', size=5, bias=-2), 2],
                         loss='stairs')
net.add_loss('mse', weight=0.1)
net.train([x, y], max_updates=4, batch_size=10, weight_decay=0.01)
assert {'hid1.t', 'hid1.beta', 'hid2.bt'} <= set(p.name for p in net.params)
assert net.layers[2].bias == -2
assert net.feed_forward(x)['hid1:gate'].shape == (40, 5)
net.save('custom.pkl')
new = theanets.Network.load('custom.pkl')
assert new.layers[2].bias == -2
assert np.allclose(new.predict(x), net.predict(x))
""")

script("""
# a rare class, weights, and a classifier that is pretrained
import numpy as np
import theanets

r = np.random.RandomState(1)
samples = r.randn(200, 6)
labels = (samples[:, 0] > 1.2).astype(int)
weights = np.ones_like(labels)
weights[labels.nonzero()] *= 10


def split(a, b):
    return [samples[a:b].astype('float32'), labels[a:b].astype('int32'),
            weights[a:b].astype('float32')]


train, valid = split(0, 150), split(150, 200)
exp = theanets.Experiment(theanets.Classifier, layers=(6, 10, 8, 2), weighted=True)
exp.train(train[:1], valid[:1], optimize='pretrain', patience=1, min_improvement=0.1,
          max_updates=5, train_batches=2)
exp.train(train, valid, optimize='sgd', learning_rate=0.05, momentum=0.9, max_updates=20,
          hidden_dropouts=0.1)
guess = exp.network.classify(valid[0])
assert guess.shape == (50,)
assert exp.network.predict_proba(valid[0]).shape == (50, 2)
assert 0 <= exp.network.score(valid[0], valid[1], valid[2]) <= 1
""")

script("""
# a graph of several inputs and outputs, and series read in both directions
import numpy as np
import theanets
from theanets.layers.base import Input
from theanets.layers.feedforward import Feedforward
from theanets.layers.recurrent import Bidirectional, LSTM

r = np.random.RandomState(1)
a, b, y = r.randn(20, 4).astype('f'), r.randn(20, 3).astype('f'), r.randn(20, 2).astype('f')
net = theanets.Network([
    Input(size=4, name='a'), Input(size=3, name='b'),
    dict(size=5, name='ha', inputs='a'),
    Feedforward(size=6, name='hb', inputs='b:out', activation='logistic'),
    dict(form='concat', inputs=('ha', 'hb'), size=11, name='both'),
    dict(size=2, inputs=('both', 'a'), name='out'),
])
net.train([a, b, y], max_updates=4)
assert net.predict([a, b]).shape == (20, 2)
assert sorted(net.feed_forward([a, b])) [:2] == ['a:out', 'b:out']

series, labels = r.randn(6, 7, 4).astype('f'), r.randint(0, 3, (6, 7)).astype('i')
mask = (r.uniform(size=(6, 7)) < 0.8).astype('f')
net = theanets.recurrent.Classifier(
    layers=(4, Bidirectional(worker='lstm', size=6, name='bd'), LSTM(size=5, name='top'), 3),
    weighted=True)
net.train([series, labels, mask], algo='rmsprop', max_gradient_norm=1, max_updates=2,
          input_noise=0.6)
assert net.find('bd_fw', 'xh') is not None
assert net.predict(series).shape == (6, 7)
""")

script("""
# trainers as objects, and a computation graph that is used by itself
import numpy as np
import pytensor
import theanets
from theanets import trainer
from theanets.graph import Network

r = np.random.RandomState(1)
x, y = r.randn(30, 4).astype('f'), r.randn(30, 2).astype('f')
net = Network([4, (6, 'tanh'), 2], loss='mae')
for algo in (trainer.SampleTrainer(net), trainer.SupervisedPretrainer('sgd', net),
             trainer.DownhillTrainer('adagrad', net)):
    own = {} if isinstance(algo, trainer.SampleTrainer) else dict(learning_rate=0.01)
    for monitors in algo.itertrain([x, y], max_updates=3, **own):
        assert monitors[0]['loss'] >= 0

outputs, updates = net.build_graph()
assert net.layers[1].full_name('pre') in outputs
f = pytensor.function(net.inputs, outputs[net.layers[-1].output_name], updates=updates)
assert np.allclose(f(x), net.predict(x), atol=1e-5)
loss = pytensor.function(net.variables, [net.loss(weight_l2=0.1)] + [m for _, m in net.monitors()])
assert loss(x, y)[0] > loss(x, y)[1]
matching = dict(theanets.util.outputs_matching(outputs, 'hid*'))
assert set(matching) == {'hid1:out', 'hid1:pre'}
""")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("title", SCRIPTS)
def test_scripts(title, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["script.py"])
    np.random.seed(1)
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        exec(compile(SCRIPTS[title], title, "exec"), {"__name__": "script"})
