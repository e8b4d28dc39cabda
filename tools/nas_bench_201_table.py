#!/usr/bin/env python3
"""Writes the table that `cdarts table` reads, out of the official NATS-Bench files.

The table is CSV: `index` (the cell's place in the benchmark's enumeration), `arch` (the cell in the benchmark's
notation) and a column of accuracies in percent for each data set, the mean over the seeds that were trained.

What is needed: Python 3.8 or newer, `pip install nats_bench`, and the topology part of NATS-Bench (Dong, Liu, Musial
and Gabrys, TPAMI 2021, arXiv 2009.00437), from the links at https://github.com/D-X-Y/NATS-Bench in either form:

  NATS-tss-v1_0-3ffb9-simple/          the unpacked folder, one file a cell: read cell by cell, some hundred MB of memory
  NATS-tss-v1_0-3ffb9.pickle.pbz2      one file: read whole, which takes a great deal of memory

How to call it:

  python tools/nas_bench_201_table.py NATS-tss-v1_0-3ffb9-simple nas-bench-201.csv
  python tools/nas_bench_201_table.py NATS-tss-v1_0-3ffb9-simple few.csv --columns cifar10_test --hp 12
  cdarts table stats --table nas-bench-201.csv

It is a user's tool: nothing in building, testing or running cdarts needs it.
"""

import argparse
import csv
import os
import sys

# Column: the data set as NATS-Bench calls it, and the metric. `cifar10-valid` was trained on half of CIFAR-10's
# training images, `cifar10` on all of them.
COLUMNS = {
    "cifar10_valid": ("cifar10-valid", "valid-accuracy"),
    "cifar10_test": ("cifar10", "test-accuracy"),
    "cifar100_valid": ("cifar100", "valid-accuracy"),
    "cifar100_test": ("cifar100", "test-accuracy"),
    "imagenet16_120_valid": ("ImageNet16-120", "valid-accuracy"),
    "imagenet16_120_test": ("ImageNet16-120", "test-accuracy"),
}


def arguments():
    parser = argparse.ArgumentParser(
        description="Write the table that `cdarts table` reads, out of the official NATS-Bench files.")
    parser.add_argument("benchmark", help="the folder NATS-tss-...-simple, or the file NATS-tss-....pickle.pbz2")
    parser.add_argument("table", help="the CSV file to write")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS), metavar="COLUMN",
                        help="which of " + ", ".join(COLUMNS) + " (default: all)")
    parser.add_argument("--hp", choices=["12", "200"], default="200",
                        help="epochs that the cells were trained for (default: %(default)s)")
    return parser.parse_args()


def accuracies(api, index, columns, hp):
    """Mean accuracies of a cell over its seeds, in percent, in the order of `columns`."""
    by_data_set = {}
    row = []
    for column in columns:
        data_set, metric = COLUMNS[column]
        if data_set not in by_data_set:
            by_data_set[data_set] = api.get_more_info(index, data_set, hp=hp, is_random=False)
        info = by_data_set[data_set]
        if metric not in info:
            raise SystemExit(f"cell {index} has no {metric} on {data_set} after {hp} epochs")
        row.append(round(float(info[metric]), 4))
    return row


def write(api, path, columns, hp):
    """Writes the table under a temporary name first, so that a table is whole or not there."""
    unfinished = f"{path}.unfinished"
    with open(unfinished, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["index", "arch", *columns])
        for index in range(len(api)):
            table.writerow([index, api.arch(index), *accuracies(api, index, columns, hp)])
            if api.fast_mode:
                # The library keeps every cell that it has read; all of them take tens of gigabytes.
                api.arch2infos_dict.pop(index, None)
            if index % 500 == 499:
                print(f"{index + 1} of {len(api)} cells", file=sys.stderr)
    os.replace(unfinished, path)


def main():
    args = arguments()
    try:
        import nats_bench
    except ImportError:
        raise SystemExit("this needs the package nats_bench: pip install nats_bench")
    if not os.path.exists(args.benchmark):
        raise SystemExit(f"{args.benchmark} does not exist; it is the folder or file of NATS-Bench's topology part")
    fast = os.path.isdir(args.benchmark)
    api = nats_bench.create(args.benchmark, "tss", fast_mode=fast, verbose=False)
    write(api, args.table, args.columns, args.hp)
    print(f"wrote {len(api)} cells to {args.table}", file=sys.stderr)


if __name__ == "__main__":
    main()
