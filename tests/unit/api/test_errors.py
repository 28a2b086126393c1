"""Errors go over the wire and come back as what they were."""

import pytest

from cernvmapi import errors
from cernvmapi.errors import CernVMError, error_from
from cernvmapi.models import Problem

ALL = [CernVMError, *CernVMError.__subclasses__()]


@pytest.mark.parametrize("cls", ALL)
def test_an_error_survives_the_way(cls):
    back = error_from(cls("Do this next.", errors=[{"path": "a"}]).problem("r-1"))
    assert type(back) is cls
    assert (back.detail, back.errors, back.request_id) == ("Do this next.", [{"path": "a"}], "r-1")


def test_codes_are_unique_and_named():
    assert len({cls.code for cls in ALL}) == len(ALL)
    assert all(400 <= cls.status < 600 and cls.title for cls in ALL)


def test_an_error_of_a_newer_controller_is_still_an_error():
    problem = Problem(title="New", status=409, detail="Something new.", code="from-the-future")
    assert type(error_from(problem)) is errors.CernVMError
