"""``python -m allegro_description.viewer --sliders``: the hand in a browser, without ROS and without a hand."""

import sys

from allegro_description.viewer.sliders import main

sys.exit(main())
