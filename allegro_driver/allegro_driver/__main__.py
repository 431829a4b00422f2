"""``python -m allegro_driver`` is ``allegro-hand``."""

import sys

from allegro_driver.cli import main

if __name__ == '__main__':
    sys.exit(main())
