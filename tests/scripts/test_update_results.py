from pathlib import Path

from scripts.update_results import fill

PAGE = """# Results
<!-- results/a/tables.md -->
old
<!-- end -->
text
<!-- results/b/tables.md -->
kept
<!-- end -->
"""


def test_tables_that_were_made_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "results/a").mkdir(parents=True)
    (tmp_path / "results/a/tables.md").write_text("| new |\n")
    text = fill(PAGE, tmp_path)
    assert "<!-- results/a/tables.md -->\n\n| new |\n\n<!-- end -->\ntext" in text
    assert "old" not in text
    assert "<!-- results/b/tables.md -->\nkept\n<!-- end -->" in text
    assert fill(text, tmp_path) == text
