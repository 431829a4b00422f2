"""Cross-package tests of the Allegro AI suite."""
