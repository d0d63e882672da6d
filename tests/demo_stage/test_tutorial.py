"""The tutorial speaks of what the demo really has."""

import re

from demo.stage.__main__ import _parser
from demo.stage.home import ROOT
from demo.stage.people import PEOPLE
from demo.stage.samples import SAMPLES

TEXT = (ROOT / "docs" / "tutorial" / "first-crossing.md").read_text()


def test_the_tutorial_names_every_person_and_both_applications() -> None:
    assert all(re.search(rf"\b{person.name}\b", TEXT) for person in PEOPLE)
    assert all(sample.name in TEXT for sample in SAMPLES)


def test_the_tutorial_uses_only_options_that_there_are() -> None:
    known = {option for action in _parser()._actions for option in action.option_strings}
    assert {f"--{word}" for word in re.findall(r"ARGS=--([a-z-]+)", TEXT)} == {"--fresh", "--walkthrough"} <= known


def test_the_ports_in_the_tutorial_are_the_ones_that_are_tried_first() -> None:
    assert {int(port) for port in re.findall(r"127\.0\.0\.1:(80\d\d)", TEXT)} == {
        8000,
        *(sample.ports[0] for sample in SAMPLES),
    }
