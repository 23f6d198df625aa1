"""Classification of drugs whose classes have a long-tailed distribution."""

from importlib.metadata import version

__version__ = version("tailmol")
