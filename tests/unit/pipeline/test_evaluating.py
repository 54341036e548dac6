"""Reports of evaluations: a missed bar is said, and fails the command."""

import json

import pytest

from pipeline import evaluate_command
from pipeline.errors import ParamsError
from pipeline.evaluate_command import run
from pipeline.evaluating import Figure, Report, Table
from pipeline.settings import PipelineSettings


@pytest.mark.parametrize(
    ("measured", "bar", "higher", "reached"),
    [
        (0.9, 0.9, True, True), (0.89, 0.9, True, False), (5.0, 5.0, False, True), (5.1, 5.0, False, False),
        (1.0, None, False, None),
    ],
)  # fmt: skip
def test_a_figure_says_whether_it_reaches_its_bar(measured, bar, higher, reached):
    assert Figure("f", measured, bar, higher).reached is reached


@pytest.mark.parametrize(("measured", "code"), [(4.0, 0), (6.0, 1)])
def test_the_command_keeps_page_and_data_and_fails_where_a_bar_is_missed(tmp_path, monkeypatch, capsys, measured, code):
    told = Report(
        "walking",
        [Figure("error", measured, 5.0, unit="%")],
        [Table("Cases", ("a|b", "c"), [("1|2", "3")])],
        ["seed 7"],
    )
    (tmp_path / "walking_evaluation.py").write_text("def evaluate(data, shelf):\n    return told\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(evaluate_command, "SYSTEMS", {"walking": "walking_evaluation"})
    __import__("walking_evaluation").told = told
    out = tmp_path / "out"
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{evaluate_command.BEGIN}\nold\n{evaluate_command.END}\nafter\n")
    words = ["walking", "--data", str(tmp_path), "--models", str(tmp_path), "--out", str(out), "--readme", str(readme)]
    assert run(words, PipelineSettings(model_cache=tmp_path / "cache")) == code
    page = (out / "walking.md").read_text()
    assert f"| error | {measured:g} % | at most 5 % | {'reached' if code == 0 else 'missed'} |" in page
    assert "| 1/2 | 3 |" in page
    assert "- seed 7" in page
    assert json.loads((out / "walking.json").read_text())["figures"][0]["reached"] is (code == 0)
    assert ("missed" in capsys.readouterr().out) is (code == 1)
    shown = readme.read_text()
    assert shown.startswith(f"before\n{evaluate_command.BEGIN}\n| system")
    assert shown.endswith(f"{evaluate_command.END}\nafter\n")
    told = f"error {measured:g} % (at most 5 %)"
    reached = "1 of 1 |  " if code == 0 else f"0 of 1 | {told} "
    assert f"| [walking]({out}/walking.md) | {told} | {reached}| " in shown
    assert f"| [walking](walking.md) | error | {measured:g} % | at most 5 % |" in (out / "README.md").read_text()
    assert "old" not in shown


def test_a_page_without_the_marks_is_refused_and_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ParamsError, match="lacks the marks"):
        evaluate_command.put_between_marks(page, ["| a |"])
    assert page.read_text() == "nothing here\n"


def test_an_unknown_system_and_a_folder_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ParamsError, match="no evaluation of flying"):
        run(["flying"], PipelineSettings())
    with pytest.raises(ParamsError, match="not a folder"):
        run(["pose", "--data", str(tmp_path / "absent")], PipelineSettings())


def test_test_data_that_lacks_a_file_is_told_by_its_name(tmp_path):
    words = ["steps", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(ParamsError, match=r"there is no .*user1_hand\.csv"):
        run(words, PipelineSettings(model_cache=tmp_path / "cache"))
