"""Looking at a recording in the browser.

::

    timeline   what was known at a moment, and traces around it   pure
    contacts   stretches in which a cell touches or is not valid  pure
    events     what happened, and when                            pure
    bands      stretches: episodes, phases, driver, touch         pure
    playhead   where the present is: play, speed, seek            pure
    objects    triangles of recorded objects                      pure
    markup     the page's texts and the time line                 pure
    controls   play, speed, the list of events                    needs viser
    screen     the page                                           needs viser
"""
