"""Commands of ``allegro-hand``: each module adds its words to the command line (``add``) and runs them (``run``)."""
