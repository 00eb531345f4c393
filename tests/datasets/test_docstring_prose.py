"""Prose from docstrings."""

from quartet.datasets.docstring_prose import prose_paragraphs


def test_prose_is_kept_and_all_else_dropped():
    docstring = """Fit the model to the training data.

    Longer explanation that runs over
    two lines of text.

    Parameters
    ----------
    X : array of shape (n, m)
        The training input samples to learn from.

    ===== =====
    a     b
    ===== =====

    Use it like this for example::

        model.fit(X) and never keep this line of code.

    .. versionadded:: 0.1
       Nor this text of a directive.

    >>> model.fit(X)
    """
    assert list(prose_paragraphs(docstring)) == [
        "Fit the model to the training data.",
        "Longer explanation that runs over two lines of text.",
        "The training input samples to learn from.",
    ]
