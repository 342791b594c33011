"""The source modules of a Python export, whose text is joined into its one file; they run on Python 3.8 and later.

They import nothing from chainrule except each other and `chainrule.data.formats`, which is joined too.
"""
