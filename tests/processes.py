"""Several processes that train together, in a test."""

import multiprocessing
import os
import socket

import torch

from quartet.training.parallel.collectives import joined


def together(count, function, *arguments):
    """Call a function in `count` processes of one group; returns what each returned."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["family_plans", "torch.distributed.fsdp", __name__])  # imported once
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = context.SimpleQueue()
    started = [
        context.Process(target=_member, args=(number, count, port, answers, function, arguments))
        for number in range(count)
    ]
    for process in started:
        process.start()
    found = dict(answers.get() for _ in started)
    for process in started:
        process.join()
    failed = [answer for answer in found.values() if isinstance(answer, str)]
    assert not failed, failed[0]
    return [found[number] for number in range(count)]


def _member(number, count, port, answers, function, arguments):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": number, "WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    try:
        with joined(torch.device("cpu"), 60):
            answer = function(*arguments)
    except Exception as error:
        answer = f"process {number}: {type(error).__name__}: {error}"
    answers.put((number, answer))
