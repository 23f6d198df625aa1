"""The labels that `lightning decide` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.decisions.settings import DecisionSettings
from tests.lightning_app.command import in_this_process


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["--classes", "[-caine, 'a, b', 1.0, yes]"], ["-caine", "a, b", "1.0", "yes"]),
        (["--classes=-caine"], ["-caine"]),
        (["--classes", "hERG", "[x]"], ["hERG", "[x]"]),
        (["--classes", "['[x]']"], ["[x]"]),
    ],
)
def test_labels_may_begin_with_any_character(
    words: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[DecisionSettings] = []

    def keep(run: Path, settings: DecisionSettings, trust: tuple[str, ...]) -> None:
        given.append(settings)

    monkeypatch.setattr("workflows.decide.decide", keep)
    assert in_this_process(monkeypatch, "decide", "run", "--objective=recall", *words, "--quiet") == 0
    assert given[0].classes == labels


@pytest.mark.parametrize("text", ["[a", "[a, [b]]", "[a: b]", "[a] b"])
def test_what_is_no_list_of_labels_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "decide", "run", "--objective=recall", f"--classes={text}") == 2
    assert f"classes: expected a list such as [-caine, -tinib], got {text}." in capsys.readouterr().err
