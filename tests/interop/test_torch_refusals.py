"""What has no counterpart is refused, by the path of its module, before anything is made."""

import re

import pytest

import theanets
from theanets import interop

torch = pytest.importorskip("torch")
nn = torch.nn


class Own(nn.Module):
    def forward(self, x):
        return x


class OwnLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 1


IMAGE = dict(shape=(2, 8, 8))
CASES = {
    "a class of one's own": (lambda: [Own()], {}, "'0.1' (Own)"),
    "a forward of one's own": (lambda: [OwnLinear(3, 3)], {}, "'0.1' (OwnLinear)"),
    "several at once": (
        lambda: [nn.Softmin(), nn.RReLU()],
        {},
        "'0.1' (Softmin), '0.2' (RReLU)",
    ),
    "an option of an activation": (lambda: [nn.ELU(-2)], {}, "'0.1' (ELU): alpha=-2.0 has no"),
    "slopes that are shared": (lambda: [nn.PReLU(2)], {}, "num_parameters=2 are neither 1 nor"),
    "a softmax over examples": (lambda: [nn.Softmax(dim=0)], {}, "dim=0 is not the axis"),
    "sizes": (lambda: [nn.Linear(4, 2)], {}, "'0.1' (Linear): in_features=4, but 3 come"),
    "a convolution of vectors": (lambda: [nn.Conv2d(3, 2, 1)], {}, "'0.1' (Conv2d): what comes"),
    "an embedding later": (lambda: [nn.Embedding(3, 2)], {}, "'0.1' (Embedding): an embedding"),
    "parts of states": (lambda: [nn.LSTM(3, 4, proj_size=2)], dict(shape=(None, 3)), "proj_size=2"),
    "a unit more": (lambda: [nn.RNN(2, 4)], dict(shape=(None, 3)), "input_size=2, but 3 come"),
    "averages of all batches": (lambda: [nn.BatchNorm1d(3, momentum=None)], {}, "momentum=None"),
    "no running means": (
        lambda: [nn.BatchNorm1d(3, track_running_stats=False)],
        {},
        "track_running_stats=False",
    ),
    "a norm of several axes": (
        lambda: [nn.LayerNorm((2, 3))],
        dict(shape=(2, 3)),
        "normalized_shape=(2, 3) where (2, 3) comes",
    ),
    "a part of the axes": (lambda: [nn.Flatten(2)], dict(shape=(2, 3)), "start_dim=2"),
    "'last' of a linear map": (lambda: ["last"], {}, "'1' (str): 'last' has to come right after"),
    "what is no module": (lambda: ["lats"], {}, "is not a module of torch.nn, a list of these"),
}
OF_IMAGES = {
    "corners": (
        lambda: [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)],
        IMAGE,
        "align_corners=True has no",
    ),
    "channels": (lambda: [nn.Conv2d(3, 2, 3)], IMAGE, "in_channels=3, but 2 come"),
    "dilated windows": (lambda: [nn.MaxPool2d(2, dilation=2)], IMAGE, "dilation=2"),
    "less than there is": (lambda: [nn.ZeroPad2d(-1)], IMAGE, "padding=(-1, -1, -1, -1) takes"),
    "windows of several lengths": (lambda: [nn.AdaptiveAvgPool2d(3)], IMAGE, "output_size=3"),
    "between entries": (
        lambda: [nn.Upsample(scale_factor=2, mode="bicubic")],
        IMAGE,
        "mode='bicubic'",
    ),
    "a linear map of columns": (lambda: [nn.Linear(8, 2)], IMAGE, "'1' (Linear): what comes here"),
    "flat at last": (lambda: [nn.Flatten()], IMAGE, "'1' (Flatten): the module ends with a flat"),
    "flat of unknown lengths": (lambda: [nn.Flatten()], {}, "give the shape of an example"),
    "the rest of unknown lengths": (
        lambda: [nn.MaxPool2d(2, ceil_mode=True)],
        {},
        "ceil_mode=True has a counterpart only for known lengths",
    ),
    "more behind than before": (
        lambda: [nn.ConvTranspose2d(2, 2, 3, stride=2, output_padding=1)],
        IMAGE,
        "output_padding=(1, 1) is more than",
    ),
    "a norm of channels": (lambda: [nn.LayerNorm(8)], IMAGE, "normalized_shape=(8,) where"),
}


@pytest.fixture
def nothing_is_made(monkeypatch):
    def build(*args):
        raise AssertionError("a network is made")

    monkeypatch.setattr(interop.Plan, "build", build)


@pytest.mark.parametrize("case", CASES)
def test_refused(case, nothing_is_made):
    make, options, message = CASES[case]
    first = options.get("shape", (3,))
    begin = [nn.Linear(first[-1], first[-1]), *make()]
    begin = begin if isinstance(begin[1], str) else [nn.Sequential(*begin)]
    with pytest.raises(theanets.ConfigurationError, match=re.escape(message)):
        theanets.from_torch(begin, **options)


@pytest.mark.parametrize("case", OF_IMAGES)
def test_refused_of_images(case, nothing_is_made):
    make, options, message = OF_IMAGES[case]
    with pytest.raises(theanets.ConfigurationError, match=re.escape(message)):
        theanets.from_torch(nn.Sequential(nn.Conv2d(2, 2, 1), *make()), **options)


def test_refused_by_what_is_done_besides(nothing_is_made):
    linear = nn.Linear(3, 3)
    with pytest.raises(theanets.ConfigurationError, match="the same module as '0'"):
        theanets.from_torch(nn.Sequential(linear, nn.ReLU(), linear))
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].register_forward_hook(lambda *args: None)
    with pytest.raises(theanets.ConfigurationError, match=r"'0' \(Linear\): it has hooks"):
        theanets.from_torch(module)
    with pytest.raises(theanets.ConfigurationError, match="shape=None: the first modules"):
        theanets.from_torch(nn.Sequential(nn.ReLU()))
    with pytest.raises(theanets.ConfigurationError, match=r"shape=\(0,\) is not the shape"):
        theanets.from_torch(nn.Sequential(nn.Linear(3, 3)), shape=(0,))
    with pytest.raises(theanets.ConfigurationError, match="there is nothing to make layers of"):
        theanets.from_torch(nn.Sequential())
    with pytest.raises(theanets.ConfigurationError, match="weighted"):
        theanets.from_torch(nn.Linear(3, 3), weigthed=True)


def test_classifiers_need_scores():
    with pytest.raises(theanets.ConfigurationError, match="the module ends with '1', a dropout"):
        theanets.from_torch([nn.Linear(3, 3), nn.Dropout()], model=theanets.Classifier)
    with pytest.raises(theanets.ConfigurationError, match="is not a class of networks"):
        theanets.from_torch([nn.Linear(3, 3)], model="classifier")


def test_what_training_does_otherwise_is_said():
    with pytest.warns(UserWarning, match=r"'embedding': padding_idx=0 is left out"):
        theanets.from_torch(nn.Embedding(3, 2, padding_idx=0))
