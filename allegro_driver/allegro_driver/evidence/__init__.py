"""Commands that show, what the README claims about the driver. Simulated hands only."""
