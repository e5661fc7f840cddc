"""One engine for several threads: requests join what runs, and each thread gets its own outcomes.

One of the waiting threads drives the engine, step by step, for all of them; when its own requests
are answered, another one goes on. So no batch waits for the last answers of an earlier one.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example


@dataclass(slots=True, eq=False)
class EngineCall:
    """Requests that one thread waits for, and what became of them."""

    requests: Sequence[tuple[Example, LayerPath]]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By the request's place."""
    error: BaseException | None = None
    """What ended the call before all its requests were answered."""
    busy_s: float = 0.0
    """Seconds of the engine: a step's are shared by the requests that were in flight."""

    @property
    def num_open(self) -> int:
        """Requests without an outcome."""
        return len(self.requests) - len(self.outcomes)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.error is not None or not self.num_open


class SharedEngine:
    """Runs the calls of any number of threads on one executor, which nobody else uses.

    An error of a step ends the calls in flight, and no others; an interrupt (`KeyboardInterrupt`,
    `SystemExit`) is raised in the thread that it hit, too.
    """

    def __init__(self, executor: PathExecutor) -> None:
        self._executor = executor
        self._changed = threading.Condition()
        """Guards who drives, joins and wants to be alone; what is in flight is the driver's."""
        self._driver: EngineCall | None = None
        """The call whose thread uses the executor now."""
        self._joining: deque[EngineCall] = deque()
        self._alone: list[EngineCall] = []
        """Calls that wait until nothing is in flight, or run then; meanwhile none joins."""
        self._in_flight: list[EngineCall] = []
        self._owners: dict[int, tuple[EngineCall, int]] = {}
        """By ticket: the call and the request's place in it."""

    def run(self, requests: Sequence[tuple[Example, LayerPath]]) -> EngineCall:
        """Evaluate requests in the company of other threads' ones; returns a call that is over."""
        call = EngineCall(requests)
        try:
            with self._changed:
                self._joining.append(call)
                self._changed.wait_for(lambda: call.is_over or self._may_drive(call))
                if not call.is_over:
                    self._driver = call
            while not call.is_over:
                self._step()
        except BaseException as error:
            if self._driver is call:  # outcomes may be lost with it, wherever it struck
                self._end_all(error)
            call.error = error
            raise
        finally:
            self._hand_over(call)
        return call

    def run_alone(self, request: tuple[Example, LayerPath]) -> EngineCall:
        """Evaluate a request while no other is in flight; an error is its outcome."""
        call = EngineCall([request])
        try:
            with self._changed:
                self._alone.append(call)
                self._changed.wait_for(lambda: self._driver is None and not self._num_in_flight())
                self._driver = call
            with suppress(Exception):  # a step that raises leaves nothing behind
                while not self._executor.is_idle:  # requests whose thread was interrupted
                    self._executor.step()
            started_s = time.perf_counter()
            try:
                call.outcomes[0] = self._executor.evaluate([request])[0]
            except Exception as error:
                call.outcomes[0] = error
            call.busy_s = time.perf_counter() - started_s
        finally:
            self._hand_over(call)
        return call

    def _num_in_flight(self) -> int:
        """Requests that somebody waits for and the executor has."""
        return sum(call.num_open for call in self._in_flight if not call.is_over)

    def _may_drive(self, call: EngineCall) -> bool:
        return self._driver is None and (call in self._in_flight or not self._alone)

    def _hand_over(self, call: EngineCall) -> None:
        """Leave the executor to others, and forget a call that is over."""
        with self._changed:
            if self._driver is call:
                self._driver = None
            for calls in (self._joining, self._alone):
                if call in calls:
                    calls.remove(call)
            self._changed.notify_all()

    def _step(self) -> None:
        """Let calls join, take one step, and hand its outcomes out."""
        started_s = time.perf_counter()
        while (call := self._next_to_join()) is not None:
            self._submit(call)
        error: Exception | None = None
        outcomes: dict[int, Outcome] = {}
        try:
            outcomes = self._executor.step()
        except Exception as raised:
            error = raised
        self._share_out(time.perf_counter() - started_s)
        for ticket, outcome in outcomes.items():
            if ticket in self._owners:  # else its thread was interrupted
                call, place = self._owners.pop(ticket)
                call.outcomes[place] = outcome
        if error is not None:
            self._end_all(error)
        with self._changed:
            self._in_flight = [call for call in self._in_flight if not call.is_over]
            self._changed.notify_all()

    def _next_to_join(self) -> EngineCall | None:
        """A call that is in flight from now on, if one waits and may join."""
        with self._changed:
            # Where nothing is in flight, the driver's own call is among those that wait.
            if not self._joining or (self._alone and self._num_in_flight()):
                return None
            call = self._joining.popleft()
            self._in_flight = [*self._in_flight, call]
            return call

    def _submit(self, call: EngineCall) -> None:
        try:
            tickets = self._executor.submit(call.requests)
        except Exception as error:  # its own: nothing of it was submitted
            call.error = error
            return
        self._owners |= {ticket: (call, place) for place, ticket in enumerate(tickets)}

    def _share_out(self, seconds: float) -> None:
        """Divide the time of a step by the requests that were in flight."""
        total = self._num_in_flight()
        for call in self._in_flight:
            if not call.is_over:
                call.busy_s += seconds * call.num_open / total

    def _end_all(self, error: BaseException) -> None:
        """End the calls in flight; what the executor may still hold of them is nobody's."""
        for call in self._in_flight:
            if not call.is_over:
                call.error = error
        self._in_flight = []
        self._owners = {}
