from __future__ import annotations

from workflows.settings.command_line import split_command_line, take_option


def test_a_command_line_is_split() -> None:
    words = ["--a", "1", "-c", "x.yaml", "--flag", "--b=2=3", "stray", "--a=3", "--config=y.yaml", "--"]
    command = split_command_line(words)
    assert command.configs == ("x.yaml", "y.yaml")
    assert command.options == (("a", "1"), ("b", "2=3"), ("a", "3"))
    assert command.rest == ("--flag", "stray", "--")


def test_the_last_value_of_an_option_counts_in_both_forms() -> None:
    assert split_command_line(["--a", "1", "--b=2", "--a=3"]).value("a") == "3"
    assert split_command_line(["--a"]).value("a") is None
    assert split_command_line(["--ab", "1"]).value("a") is None


def test_a_parser_gets_a_class_before_its_arguments() -> None:
    command = split_command_line(["--model.encoder.init_args.dropout=0", "--model.encoder", "GIN", "stray"])
    assert command.words() == ["--model.encoder=GIN", "--model.encoder.init_args.dropout=0", "stray"]


def test_options_are_left_out_with_the_settings_inside_them() -> None:
    command = split_command_line(["--a.b=1", "--a.b.c=2", "--a.bc=3", "--config=x.yaml"]).without(["a.b"])
    assert command.options == (("a.bc", "3"),)
    assert command.configs == ("x.yaml",)


def test_an_option_that_may_be_repeated_is_taken_from_the_command_line() -> None:
    arguments = ["--a", "1", "--trust", "x", "--trust=y.z", "--trusted=w", "--b"]
    assert take_option(arguments, "trust") == (["x", "y.z"], ["--a", "1", "--trusted=w", "--b"])
    assert take_option(["--trust"], "trust") == ([], ["--trust"])
