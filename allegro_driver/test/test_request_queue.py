"""Requests reach the serving thread once, come back with their outcome, and never late."""

import threading
import time

import pytest
from allegro_description.errors import CommandRefused
from allegro_driver.request_queue import RequestQueue
from wire_hand import wait_until

from allegro_driver import request_queue


def asked(queue, request):
    outcome = []

    def ask():
        try:
            outcome.append(queue.ask(request))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert wait_until(lambda: queue._waiting)
    return thread, outcome


def test_the_outcome_goes_to_whoever_asked():
    queue = RequestQueue()
    thread, outcome = asked(queue, lambda: 'done')
    queue.serve()
    thread.join(2.0)
    assert outcome == ['done']


def test_refusals_stay_between_the_two_but_mistakes_are_everybodys():
    queue = RequestQueue()

    def refuse():
        raise CommandRefused('not now')

    thread, outcome = asked(queue, refuse)
    queue.serve()
    thread.join(2.0)
    assert str(outcome[0]) == 'not now'
    thread, outcome = asked(queue, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        queue.serve()
    thread.join(2.0)
    assert isinstance(outcome[0], ZeroDivisionError)


def test_a_request_that_waited_too_long_is_not_served_later(monkeypatch):
    monkeypatch.setattr(request_queue, 'LONGEST_S', 0.05)
    queue, done = RequestQueue(), []
    thread, outcome = asked(queue, lambda: done.append('enabled') or 'enabled')
    thread.join(2.0)
    assert 'does not answer' in str(outcome[0])
    queue.serve()
    time.sleep(0.01)
    assert done == []
    queue.refuse('stopped')


def test_stopping_answers_what_waits():
    queue = RequestQueue()
    thread, outcome = asked(queue, lambda: 'done')
    queue.refuse('the control loop has stopped')
    thread.join(2.0)
    assert 'has stopped' in str(outcome[0])
