"""Train a convolutional classifier on Fashion-MNIST, and say how well it does.

Takes the directory of the four IDX files, compressed or not. They come from
https://github.com/zalandoresearch/fashion-mnist, or with Debian's dataset-fashion-mnist:

    apt-get install dataset-fashion-mnist
    python examples/fashion_mnist.py /usr/share/datasets/fashion-mnist
    python examples/fashion_mnist.py DIRECTORY --epochs 2 --save fashion.safetensors
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

from theanets import convolution

NAMES = "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot"


def read_idx(path):
    """Read an array of bytes in the IDX format: magic number, lengths of axes, bytes."""
    packed = path.with_name(f"{path.name}.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    kind, ndim, start = data[2], data[3], 4 + 4 * data[3]
    if data[:2] != b"\0\0" or kind != 8 or len(data) < start:
        raise SystemExit(f"{path} is not an IDX file of bytes")
    shape = np.frombuffer(data, ">u4", ndim, 4)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def load(folder, part):
    """Get images (n, 28, 28, 1) in [0, 1] and labels of the part 'train' or 't10k'."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
    return images[..., None].astype("float32") / 255, labels.astype("int32")


def convolved(size):
    filters = dict(form="conv2", size=size, filter_size=3, border_mode="same", activation="linear")
    return [filters, dict(form="batch_norm", activation="relu"), "pool2"]


def network():
    drop = dict(form="dropout", rate=0.4)
    return convolution.Classifier(
        [(28, 28, 1), *convolved(32), *convolved(64), "flat", drop, 128, drop, 10]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="directory with the four IDX files")
    parser.add_argument("--epochs", type=int, default=10, help="at most so many passes")
    parser.add_argument("--limit", type=int, help="train with so many images only")
    parser.add_argument("--save", help="where the network goes")
    args = parser.parse_args()

    images, labels = (array[: args.limit] for array in load(args.folder, "train"))
    test = load(args.folder, "t10k")
    # The last twelfth decides which epoch was the best.
    split = len(images) - len(images) // 12
    net = network()
    print(net.summary())
    print("compiling (this takes a while the first time, and then comes from a cache) ...")
    parts = [[images[:split], labels[:split]], [images[split:], labels[split:]]]
    for train, valid in net.itertrain(*parts, epochs=args.epochs, batch_size=64):
        print(f"train {train['acc']:.4f}  validation {valid['acc']:.4f}", flush=True)
    print(f"accuracy on {len(test[0])} test images: {net.score(*test):.4f}")
    found = net.predict(test[0])
    for i, name in enumerate(NAMES.split()):
        print(f"{name:>10} {np.mean(found[test[1] == i] == i):.3f}")
    if args.save:
        net.save(args.save)


if __name__ == "__main__":
    main()
