"""Driver, tactile publisher and on-wire emulator for Wonik Allegro Hands."""
