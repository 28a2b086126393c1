"""Waits that can be interrupted."""

import asyncio

import pytest

from cernvmcontroller.machines.job import Interrupted, Job


async def test_an_interrupt_ends_a_wait():
    job = Job()
    waiting = asyncio.create_task(job.until(asyncio.Event().wait()))
    await asyncio.sleep(0)
    job.interrupt()
    with pytest.raises(Interrupted):
        await waiting


async def test_a_slot_that_was_got_as_the_interrupt_came_is_not_lost():
    job, slots = Job(), asyncio.Semaphore(1)
    job.interrupt()
    try:
        await job.until(slots.acquire())
    except Interrupted:
        assert not slots.locked()
    else:
        assert slots.locked()
        slots.release()
    with pytest.raises(Interrupted):
        job.checkpoint()
