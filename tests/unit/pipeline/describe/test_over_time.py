"""What is known of a whole video from its frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.over_time import MAX_LINES, Answered, Lines, Things


def line(text, y=0.0, score=0.9):
    return {"text": text, "score": score, "box": [0, y, 100, 20], "quad": [], "angle": 0.0, "block": 0}


def merged(*frames):
    lines = Lines()
    for place, frame in enumerate(frames):
        lines.add(frame, float(place), place * 10)
    return lines.told()


def test_a_line_that_stays_is_told_once_as_it_was_read_best():
    (told,) = merged([line("N0 PARKING", score=0.8)], [line("NO PARKING", score=0.95)], [line("NO PARK1NG", score=0.7)])
    assert (told["text"], told["frames"], told["index"]) == ("NO PARKING", 3, 10)
    assert (told["first_seconds"], told["last_seconds"]) == (0.0, 2.0)


def test_the_same_words_twice_in_a_frame_are_two_lines():
    assert len(merged([line("EXIT"), line("EXIT", 300)], [line("EXIT"), line("EXIT", 300)])) == 2


def test_another_text_at_the_same_place_is_another_line():
    assert [one["text"] for one in merged([line("Chapter one")], [line("The end")])] == ["Chapter one", "The end"]


def test_a_page_of_many_lines_that_stays_is_told_once():
    page = [line(f"row number {place:03d}", 20 * place) for place in range(300)]
    assert [one["frames"] for one in merged(page, page, page)] == [3] * 300


def test_lines_are_bounded():
    lines = Lines()
    for place in range(MAX_LINES + 5):
        lines.add([line(f"{place:05d}" * 3, place * 50.0)], float(place), place)
    assert len(lines.told()) == MAX_LINES
    assert lines.truncated


def thing(label, colour=None, score=0.9):
    told = {"name": colour, "share": 1.0} if colour else None
    return {"label": label, "score": score, "box": [0, 0, 1, 1], "colour": told}


def test_things_are_counted_as_the_most_at_once():
    things = Things()
    things.add([thing("apple", "red"), thing("apple", "green", 0.95)], 0.0, 0)
    things.add([thing("apple", "red")], 1.0, 5)
    assert things.told()["apple"] == {
        "max": 2, "frames": 2, "best_score": 0.95, "box": [0, 0, 1, 1], "index": 0, "colour": "red",
        "first_seconds": 0.0, "last_seconds": 1.0,
    }  # fmt: skip


def told(kind, *answers):
    asked = Answered("?", kind)
    for place, (text, sure, number) in enumerate(answers):
        reason = "why" if text == "unknown" else None
        row = {"answer": text, "confidence": sure, "evidence": [], "reason": reason, "number": number}
        asked.add(row, float(place), place)
    return asked.told()


def test_the_most_that_was_counted_counts():
    assert told("count", ("1", 0.9, 1), ("10", 0.6, 10), ("2", 0.9, 2))["answer"] == "10"


def test_yes_in_one_frame_is_yes_and_its_time_is_told():
    reply = told("presence", ("no", None, None), ("no", None, None), ("yes", 0.7, None))
    assert (reply["answer"], reply["seconds"], reply["confidence"]) == ("yes", 2.0, 0.7)


def test_most_frames_decide_about_a_colour_and_those_that_cannot_tell_do_not_vote():
    colours = [("red", 0.6, None), ("unknown", None, None), ("brown", 0.9, None), ("red", 0.6, None)]
    assert told("colour", *colours)["answer"] == "red"


def test_what_no_frame_can_tell_is_unknown_with_the_first_reason():
    reply = told("where", ("unknown", None, None))
    assert (reply["answer"], reply["reason"], reply["index"]) == ("unknown", "why", None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_a_count_over_time_is_the_largest_of_the_frames(counts):
    assert told("count", *((str(count), 0.5, count) for count in counts))["answer"] == str(max(counts))
