"""Names of columns as they are compared with usual ones."""

import re


def folded(name: str) -> str:
    """The name of a column in lower case, with single underscores in place of all but letters and digits.

    Args:
        name: The name, such as `Cpd No.`, which becomes `cpd_no`.
    """
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")
