"""Evidence that bundles keep their promises: commands that print what was tried and what came of it."""
