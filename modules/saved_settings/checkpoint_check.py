"""The check of a checkpoint's settings, before the parser of settings sees them.

That parser takes text for more than text: where an argument is a class, for the path of a file of settings, and where
it is a function, for an import path. So text must be for an argument that is text, and a class for one that is a class.
"""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from base.errors import InputError
from modules.saved_settings.argument_types import (
    Options,
    argument_types,
    classes_of,
    items_of,
    options,
    takes_function,
    takes_text,
    values_of,
)
from modules.saved_settings.known_classes import import_class, is_known, is_trusted_function, may_be_trusted

Made = TypeVar("Made")


@dataclass(frozen=True)
class CheckpointCheck:
    """A check of the settings in a file.

    Attributes:
        path: The file, for messages.
        setting: Name of the setting that gave the file, for messages.
        trust: Modules that the user trusts.
    """

    path: Path
    setting: str = "ckpt_path"
    trust: tuple[str, ...] = ()

    def check_paths(self, value: object, place: str) -> None:
        """Check the names of all classes, before anything is imported.

        Args:
            value: Settings, as `plain_settings` returns them.
            place: Dotted name of the settings.

        Raises:
            InputError: If a class is not known.
        """
        if isinstance(value, list):
            for inner in value:
                self.check_paths(inner, place)
        elif isinstance(value, dict):
            path = value.get("class_path")
            if isinstance(path, str) and not is_known(path, self.trust):
                self._refuse_path(path, place)
            for name, inner in value.items():
                self.check_paths(inner, place if name == "init_args" else f"{place}.{name}")

    def section(self, settings: Mapping[str, Any], name: str, cls: type, unused: Sequence[str] = ()) -> dict[str, Any]:
        """Take the settings that are arguments of a class, and check them.

        Args:
            settings: All settings, as `plain_settings` returns them.
            name: Name of the section.
            cls: The class.
            unused: Arguments to leave out, which are not checked.

        Returns:
            Values by name.

        Raises:
            InputError: If the section is missing, a class is not known, or a value cannot be for its argument.
        """
        given = settings.get(name)
        if not isinstance(given, dict):
            self._refuse("settings by name", given, name)
        used = {argument: value for argument, value in given.items() if argument not in unused}
        self.check_paths(used, name)
        self._check_arguments(cls, used, name)
        return used

    def make(self, settings: Mapping[str, Any], name: str, cls: type[Made], unused: Sequence[str] = ()) -> Made:
        """Make the instance of a class that a section describes, after its check.

        Args:
            settings: All settings, as `plain_settings` returns them.
            name: Name of the section.
            cls: The class.
            unused: Arguments to leave at their defaults.

        Raises:
            InputError: As `section`, or if the class refuses a value.
        """
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(cls, name)
        used = self.section(settings, name, cls, unused)
        try:
            # The parser replaces what it finds in a list.
            made = parser.instantiate(parser.parse_object({name: deepcopy(used)}))[name]
        except (ArgumentError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.setting}: {self.path} is not a valid tailmol checkpoint ({reason}).") from error
        assert isinstance(made, cls)
        return made

    def check_value(self, hint: object, value: object, place: str) -> None:
        """Check a setting that is no argument of a class.

        Args:
            hint: Type of the setting.
            value: The value, as `plain_settings` returns it.
            place: Name of the setting.

        Raises:
            InputError: If a class is not known, or the value cannot be for the setting.
        """
        self.check_paths(value, place)
        self._check(options(hint), value, place)

    def _check_arguments(self, cls: type, arguments: object, place: str) -> None:
        if not isinstance(arguments, dict):
            self._refuse("settings by name", arguments, place)
        known = argument_types(cls)
        for name, value in arguments.items():
            self._check(known.get(name, ()), value, f"{place}.{name}")

    def _check(self, types: Options, value: object, place: str) -> None:
        """Check a value; the parser itself checks numbers, of which none is read as anything else."""
        if isinstance(value, str):
            self._check_text(types, value, place)
        elif isinstance(value, list):
            for item in value:
                self._check(items_of(types), item, place)
        elif isinstance(value, dict) and "class_path" in value:
            self._check_class(classes_of(types), value, place)
        elif isinstance(value, dict) and classes_of(types):
            self._check_arguments(classes_of(types)[0], value, place)
        elif isinstance(value, dict):
            if not values_of(types):
                self._refuse("no further settings", value, place)
            for name, inner in value.items():
                self._check(values_of(types), inner, f"{place}.{name}")

    def _check_text(self, types: Options, text: str, place: str) -> None:
        if takes_text(types, text):
            return
        if not takes_function(types) or "." not in text:
            self._refuse("no text" if types else "no such setting", text, place)
        if not is_trusted_function(text, self.trust):
            self._refuse_path(text, place)

    def _check_class(self, bases: tuple[type, ...], spec: dict[str, Any], place: str) -> None:
        path, arguments = spec["class_path"], spec.get("init_args") or {}
        if not isinstance(path, str) or not set(spec) <= {"class_path", "init_args"}:
            self._refuse("class_path and init_args", spec, place)
        cls = import_class(path, self.trust)
        if cls is None or not issubclass(cls, bases):
            self._refuse(" or ".join(base.__name__ for base in bases) or "no class", path, place)
        self._check_arguments(cls, arguments, place)

    def _refuse_path(self, path: str, place: str) -> NoReturn:
        module, advice = path.rpartition(".")[0], ""
        if may_be_trusted(path):
            advice = f"; if you trust this module, add --trust {module} (in Python: trust={module!r})"
        self._refuse("a class of tailmol", path, place, advice)

    def _refuse(self, expected: str, value: object, place: str, advice: str = "") -> NoReturn:
        shown = repr(value) if len(repr(value)) < 100 else f"{repr(value)[:100]}..."
        raise InputError(f"{self.setting}: expected {expected} for {place} in {self.path}, got {shown}{advice}.")
