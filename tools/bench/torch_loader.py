"""Loads a folder of pictures with PyTorch's DataLoader and Pillow: the peer of `loader`. `make` writes such folders.
"""

import argparse
import json
import random
import time
from pathlib import Path

CLASSES = 4
PLANE = 32 * 32
RECORD = 1 + 3 * PLANE


def make(options):
    """Pictures out of CIFAR-10's binary version: as they are, or four of them side by side, scaled up."""
    from PIL import Image

    records = (options.source / "data_batch_1.bin").read_bytes()
    draw = random.Random(1)

    def picture():
        start = draw.randrange(len(records) // RECORD) * RECORD + 1
        planes = [records[start + i * PLANE : start + (i + 1) * PLANE] for i in range(3)]
        return Image.merge("RGB", [Image.frombytes("L", (32, 32), plane) for plane in planes])

    def mosaic(side):
        image, half = Image.new("RGB", (side, side)), side // 2
        for corner in ((0, 0), (half, 0), (0, half), (half, half)):
            image.paste(picture().resize((half, half), Image.Resampling.BICUBIC), corner)
        return image

    for number in range(options.images):
        folder = options.folder / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        image = picture() if options.side == 32 else mosaic(options.side)
        image.save(folder / f"{number:06}.jpg", quality=90)
    print("{}")


def load(options):
    import torch
    from PIL import Image, ImageOps
    from torch.utils.data import DataLoader, Dataset

    torch.set_num_threads(1)
    mean, deviation = torch.full((3, 1, 1), 0.47), torch.full((3, 1, 1), 0.25)
    flip = Image.Transpose.FLIP_LEFT_RIGHT

    def crop(image):
        side = image.width
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = ImageOps.expand(image, 4).crop((left, top, left + side, top + side))
        return image.transpose(flip) if random.random() < 0.5 else image

    def window(image):
        """A window of 8 to 100 % of the area, its sides 3:4 to 4:3, scaled up."""
        side = image.width
        area, proportion = random.uniform(0.08, 1.0) * side * side, random.uniform(-0.2877, 0.2877)
        ratio = 2.718281828**proportion
        width = min(side, max(1, round((area * ratio) ** 0.5)))
        height = min(side, max(1, round((area / ratio) ** 0.5)))
        left, top = random.randint(0, side - width), random.randint(0, side - height)
        box = (left, top, left + width, top + height)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
        return image.transpose(flip) if random.random() < 0.5 else image

    change = {"none": lambda image: image, "crop": crop, "window": window}[options.augment]

    class Pictures(Dataset):
        def __init__(self):
            folders = sorted(path for path in options.folder.iterdir() if path.is_dir())
            self.files = [(f, label) for label, folder in enumerate(folders) for f in sorted(folder.iterdir())]

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            path, label = self.files[index]
            with Image.open(path) as file:
                image = change(file.convert("RGB"))
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            pixels = pixels.view(image.height, image.width, 3).permute(2, 0, 1)
            return (pixels.contiguous().float().div_(255) - mean) / deviation, label

    data = Pictures()
    loader = DataLoader(data, batch_size=64, shuffle=True, num_workers=options.workers)
    seconds = []
    for _ in range(options.epochs):
        started = time.perf_counter()
        images = sum(len(labels) for _, labels in loader)
        assert images == len(data)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"images": len(data), "seconds": seconds}))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make")
    making.add_argument("source", type=Path)
    making.add_argument("folder", type=Path)
    making.add_argument("--images", type=int, required=True)
    making.add_argument("--side", type=int, required=True)
    making.set_defaults(work=make)
    loading = commands.add_parser("load")
    loading.add_argument("folder", type=Path)
    loading.add_argument("--epochs", type=int, required=True)
    loading.add_argument("--augment", choices=("none", "crop", "window"), required=True)
    loading.add_argument("--workers", type=int, default=0)
    loading.set_defaults(work=load)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
