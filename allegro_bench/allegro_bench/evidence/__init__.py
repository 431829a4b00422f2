"""Commands that show what this package promises, with the numbers."""
