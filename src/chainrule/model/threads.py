"""Threads: the networks of an ensemble in parallel, each on a single thread of BLAS, and work ahead of its use."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class OneBlasThread:
    """A context in which matrix products run on a single thread; without threadpoolctl, it does nothing.

    For products this small a second thread gains nothing, and if another program is using the processor, threads
    waiting for each other made training 24 times slower. The setting is global to the process: of several contexts that
    are active at once, the first sets it and the last restores it. Entering returns the number of threads that products
    had before: 1 if it is unknown, or if another context is active.
    """

    def __init__(self) -> None:
        self.lock, self.active, self.limits = Lock(), 0, ExitStack()

    def __enter__(self) -> int:
        with self.lock:
            self.active += 1
            controller = _blas("scipy.linalg" in sys.modules) if self.active == 1 else None
            if controller is None:
                return 1
            n_threads = max((library.num_threads for library in controller.lib_controllers), default=1)
            self.limits.enter_context(controller.limit(limits=1))
            return int(n_threads)

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.active -= 1
            if not self.active:
                self.limits.close()


@cache
def _blas(with_scipy: bool) -> Any:
    """Return the controller of the loaded BLAS libraries, or None without threadpoolctl.

    It is found once, and again when SciPy has brought a library of its own, which numba uses.
    """
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


one_blas_thread = OneBlasThread()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, each of which a thread computes while the caller uses the one before."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        following: Future[Any] = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield item


def in_parallel(function: Callable[[T], R], items: Sequence[T], n_threads: int) -> list[R]:
    """Return the function of each item, computed by up to that many threads, of which the caller's is one.

    If calls fail, the error of the first item is raised.
    """
    if n_threads < 2 or len(items) < 2:
        return [function(item) for item in items]
    todo = deque(enumerate(items))
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}

    def work() -> None:
        while todo and not errors:
            try:
                i, item = todo.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                results[i] = function(item)
            except BaseException as error:
                errors[i] = error

    helpers = [Thread(target=work) for _ in range(min(n_threads, len(items)) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[min(errors)]
    return [results[i] for i in range(len(items))]
