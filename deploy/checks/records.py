"""Counts what a backend got: `records.py COUNT FILE` is 0 if every `record N` with N below COUNT is in the file."""

import pathlib
import re
import sys


def main():
    count, path = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    numbers = [int(number) for number in re.findall(r'"record (\d+)"', path.read_text())]
    missing = set(range(count)) - set(numbers)
    print(f"{len(set(numbers))} records, {len(numbers) - len(set(numbers))} twice, {len(missing)} missing")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
