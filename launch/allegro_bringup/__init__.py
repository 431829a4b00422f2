"""Launch files and configuration that wire the Allegro AI suite together."""
