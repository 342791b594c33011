"""What a Python export is made of: modules whose text goes into its one file, and which run from Python 3.8 on.

They import nothing of this library's but each other.
"""
