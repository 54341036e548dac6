"""``python -m pipeline.nutrition.make_facts --usda FILE``: write the rows of USDA SR that foods.csv names to facts.csv.

The USDA National Nutrient Database for Standard Reference is a work of the United States government and in the public
domain. FILE is its abbreviated table as USDA published it (``ABBREV.txt``: fields parted by ^, text between ~), or a
CSV with the columns ndb_no, name, kcal, protein_g, fat_g and carbohydrate_g.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

FOODS = Path(__file__).with_name("foods.csv")
FACTS = Path(__file__).with_name("facts.csv")
COLUMNS = ("ndb_no", "name", "kcal", "protein_g", "fat_g", "carbs_g")
#: places of COLUMNS in a line of ABBREV.txt, as the documentation of SR28 numbers its fields (from 0 here)
ABBREV_PLACES = (0, 1, 3, 4, 5, 7)

Fact = tuple[str, ...]


def read_usda(path: Path) -> Iterator[Fact]:
    """Yield the fields of COLUMNS for each food of the table, as text. Raises: ValueError for another kind of file."""
    with path.open(encoding="latin-1", newline="") as lines:
        start = lines.readline()
        lines.seek(0)
        if start.startswith("~"):
            for fields in csv.reader(lines, delimiter="^", quotechar="~"):
                yield tuple(fields[place] for place in ABBREV_PLACES)
        elif start.startswith("ndb_no,"):
            for row in csv.DictReader(lines):
                yield tuple(row["carbohydrate_g" if name == "carbs_g" else name] for name in COLUMNS)
        else:
            raise ValueError(f"{path}: neither ABBREV.txt nor a CSV that starts with ndb_no")


def pick(foods: Path, usda: Path) -> list[Fact]:
    """Return the rows that ``foods`` names, by number. Raises: ValueError naming all that are missing or not whole."""
    with foods.open(encoding="utf-8", newline="") as lines:
        wanted = {row["ndb_no"] for row in csv.DictReader(lines)}
    found = {fact[0]: fact for fact in read_usda(usda) if fact[0] in wanted}
    faults = [f"{number} is not in {usda.name}" for number in sorted(wanted - set(found))]
    faults += [f"{number} lacks a value" for number, fact in sorted(found.items()) if "" in fact]
    if faults:
        raise ValueError("; ".join(faults))
    return [found[number] for number in sorted(found)]


def write(facts: list[Fact], target: Path) -> None:
    """Write the table; equal input gives equal bytes."""
    with target.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((number, name, *(f"{float(value):g}" for value in values)) for number, name, *values in facts)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.nutrition.make_facts", description="Write facts.csv.")
    parser.add_argument("--usda", type=Path, required=True, metavar="FILE", help="ABBREV.txt of USDA SR, or the CSV")
    parser.add_argument("--out", type=Path, default=FACTS, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        facts = pick(FOODS, options.usda)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write(facts, options.out)
    print(f"{options.out}: {len(facts)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
