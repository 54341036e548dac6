"""What the command line prints for people, whatever a pipeline's rows and summary hold."""

from pipeline import telling


def test_rows_of_any_shape_are_told_in_a_line_each(capsys):
    rows = [
        {"index": 0, "pts_seconds": 0.0, "objects": [{"label": "cup", "score": 0.9, "box": [1, 2, 3, 4]}]},
        {"index": 1, "pts_seconds": 0.5, "lines": [{"text": "EXIT", "score": 0.5}], "signature": [1, 2.5]},
        {"index": 2, "pts_seconds": 1.0, "faces": [{"score": None, "box": [0, 0, 9, 9]}] * 6, "steps": []},
        {"index": 3, "pts_seconds": 1.5, "is_black": True, "names": []},
    ]  # fmt: skip
    telling.tell_rows(rows, 4, 4)
    told = [line.split("#", 1)[1] for line in capsys.readouterr().out.splitlines() if "#" in line]
    assert told == [
        "0      objects: cup 0.90 [1,2 3x4]",
        "1      lines: EXIT 0.50; signature: 1, 2.5",
        "2      faces: [0,0 9x9], [0,0 9x9], [0,0 9x9], [0,0 9x9] and 2 more",
        "3      black",
    ]


def test_one_of_a_thing_is_not_told_in_the_plural(capsys):
    telling.tell_run("pose", 1, 1, 2.0, {"infer": 2.0})
    telling.tell_run("motion", 2, 50, 0.5, {})
    assert capsys.readouterr().out.split("\n\n") == [
        "pose: 1 frame in 1 segment, 2.00 s, 0.5 frames/s (infer 2.00 s)",
        "motion: 50 frames in 2 segments, 0.50 s, 100 frames/s ()",
        "",
    ]


def test_a_summary_lists_things_a_line_each_and_draws_curves_of_any_value(capsys):
    points = [{"seconds": 0, "score": 0.0, "frames": 9}, {"seconds": 1, "score": 0.5, "frames": 1}]
    telling.tell_summary(
        {
            "items": [{"label": "apple", "count": {"value": 3, "low": 2, "high": 4}}] * 13,
            "curve": {"bin_seconds": 1, "points": points},
            "counts": {"bin_seconds": 2, "points": [{"seconds": 0, "counts": {"cup": 1, "cat": 1}}]},
            "score": None,
            "best": {"box": [1, 2, 3, 4], "source": {"name": "APPLES", "per_100g": {"kcal": 52.0}}},
            "corners": [[1.5, 2], [3, 4]],
            "times": [1, 2, 3, 4, 5, 6, 7],
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "summary",
        "  items",
        *["    label apple, count 3 (2 to 4)"] * 12,
        "    and 1 more",
        "  curve              2 points, one per 1 s  ▁█",
        "  counts             1 point, one per 2 s  █",
        "  score              null",
        "  best               box [1, 2, 3, 4], source (name APPLES, per_100g (kcal 52.0))",
        "  corners            2: [1.5, 2], [3, 4]",
        "  times              7: 1, 2, 3, 4, 5, 6 ...",
    ]
