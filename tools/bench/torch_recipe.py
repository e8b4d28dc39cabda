"""Trains the paper's network on CIFAR-10 by the published recipe, reduced, in PyTorch: the peer of `recipe`. Prints a JSON
object: validation accuracy and seconds of every epoch, test accuracy, number of parameters.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import torch_workloads as workloads
from torch import nn

RECORD = 1 + 3 * 32 * 32


def cifar(files):
    """Images `[n, 3, 32, 32]` in 0 to 1 and labels, of files of CIFAR-10's binary version."""
    records = torch.cat([torch.frombuffer(bytearray(f.read_bytes()), dtype=torch.uint8) for f in files])
    records = records.view(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32).float() / 255, records[:, 0].long()


def split(labels, fraction, generator):
    """Indices to train on, and to validate on: so large a part of every class."""
    train, held_out = [], []
    for label in range(10):
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        count = round(len(members) * fraction)
        held_out.append(members[:count])
        train.append(members[count:])
    return torch.cat(train), torch.cat(held_out)


def augmented(images, cutout, generator):
    """Every image shifted by up to 4 pixels, black moving in, and mirrored at random; and a mask `[n, 1, 32, 32]` of what a
    square somewhere leaves of it, for after normalisation."""
    n, _, height, width = images.shape
    draw = lambda limit: torch.randint(limit, (n,), generator=generator)
    rows, columns = draw(9), draw(9)
    flip = draw(2).bool()
    y = rows[:, None] + torch.arange(height)
    x = columns[:, None] + torch.where(flip[:, None], torch.arange(width - 1, -1, -1), torch.arange(width))
    padded = F.pad(images, (4, 4, 4, 4))
    out = padded[torch.arange(n)[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
    keep = torch.ones(n, 1, height, width)
    if cutout:
        centre_y, centre_x = draw(height)[:, None], draw(width)[:, None]
        inside = lambda at, centre: (at >= centre - cutout // 2) & (at < centre + cutout // 2)
        cut = inside(torch.arange(height), centre_y)[:, :, None] & inside(torch.arange(width), centre_x)[:, None]
        keep = (~cut).float()[:, None]
    return out, keep


def accuracy(net, images, labels, batch):
    net.eval()
    correct = 0
    with torch.no_grad():
        for start in range(0, len(labels), batch):
            logits, _ = net(images[start : start + batch], 0.0)
            correct += (logits.argmax(1) == labels[start : start + batch]).sum().item()
    net.train()
    return correct / len(labels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    for name, kind in (
        ("epochs", int),
        ("channels", int),
        ("batch", int),
        ("seed", int),
        ("threads", int),
        ("cutout", int),
        ("lr", float),
        ("weight-decay", float),
        ("drop-path", float),
        ("auxiliary", float),
        ("smoothing", float),
        ("validation", float),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--cells", type=lambda text: tuple(map(int, text.split(","))), required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)

    images, labels = cifar(sorted(options.data.glob("data_batch_*.bin")))
    train, held_out = split(labels, options.validation, generator)
    mean = images[train].mean((0, 2, 3))[:, None, None]
    deviation = images[train].std((0, 2, 3), unbiased=False)[:, None, None]
    normalised = lambda x: (x - mean) / deviation

    net = workloads.FoundNet(options.channels, 32, options.cells)
    optimiser = torch.optim.SGD(
        net.parameters(), lr=options.lr, momentum=0.9, weight_decay=options.weight_decay
    )
    epochs, seconds, scores = options.epochs, [], []
    for epoch in range(epochs):
        started = time.perf_counter()
        optimiser.param_groups[0]["lr"] = 0.5 * options.lr * (1 + math.cos(math.pi * epoch / epochs))
        drop = options.drop_path * epoch / epochs
        order = train[torch.randperm(len(train), generator=generator)]
        for indices in order.split(options.batch):
            x, keep = augmented(images[indices], options.cutout, generator)
            logits, auxiliary = net(normalised(x) * keep, drop)
            loss = F.cross_entropy(logits, labels[indices], label_smoothing=options.smoothing)
            loss = loss + options.auxiliary * F.cross_entropy(
                auxiliary, labels[indices], label_smoothing=options.smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
        seconds.append(time.perf_counter() - started)
        scores.append(accuracy(net, normalised(images[held_out]), labels[held_out], options.batch))

    test_images, test_labels = cifar([options.data / "test_batch.bin"])
    params = sum(p.numel() for m in (net.stem, net.cells) for p in m.parameters())
    test = accuracy(net, normalised(test_images), test_labels, options.batch)
    print(json.dumps({"validation": scores, "seconds": seconds, "test": test, "params": params}))


if __name__ == "__main__":
    main()
